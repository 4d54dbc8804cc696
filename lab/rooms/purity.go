// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What a file of a pure room must not contain, found in its syntax tree.

package rooms

import (
	"fmt"
	"go/ast"
	"go/token"
)

// impurities returns what the files of one package of a pure room contain that they must not, as "file:line: what".
func impurities(fset *token.FileSet, files []*ast.File) []string {
	var found []string
	say := func(pos token.Pos, what string) {
		found = append(found, fmt.Sprintf("%s: %s", fset.Position(pos), what))
	}
	vars := map[string]token.Pos{}
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			inspect(n, say)
			return true
		})
		for _, d := range f.Decls {
			packageVars(d, vars, say)
		}
	}
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			for _, name := range changed(n) {
				if pos, ok := vars[name.Name]; ok && (name.Obj == nil || name.Obj.Pos() == pos) {
					say(name.Pos(), "package variable "+name.Name+" is changed: state belongs to a value that somebody owns")
				}
			}
			return true
		})
	}
	return found
}

func inspect(n ast.Node, say func(token.Pos, string)) {
	switch n := n.(type) {
	case *ast.GoStmt:
		say(n.Pos(), "go statement: a packet's life and a message's life are one call stack")
	case *ast.ChanType, *ast.SendStmt, *ast.SelectStmt:
		say(n.Pos(), "channel: actions are an ordered list, a channel loses the order")
	case *ast.FuncDecl:
		if n.Recv == nil && n.Name.Name == "init" {
			say(n.Pos(), "init(): nothing happens because a package was imported")
		}
	case *ast.SelectorExpr:
		if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && x.Obj == nil && readsClock(n.Sel.Name) {
			say(n.Pos(), "time."+n.Sel.Name+": the time is a parameter, so that a day of rekeying is tested in a millisecond")
		}
	}
}

func readsClock(name string) bool {
	switch name {
	case "Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker":
		return true
	}
	return false
}

// packageVars allows sentinel errors, interface assertions and unexported arrays that nothing changes.
func packageVars(d ast.Decl, vars map[string]token.Pos, say func(token.Pos, string)) {
	g, ok := d.(*ast.GenDecl)
	if !ok || g.Tok != token.VAR {
		return
	}
	for _, s := range g.Specs {
		v := s.(*ast.ValueSpec)
		for i, name := range v.Names {
			if name.Name == "_" {
				continue
			}
			vars[name.Name] = name.Pos()
			var value ast.Expr
			if i < len(v.Values) {
				value = v.Values[i]
			}
			if !isSentinel(value) && !(isArray(v.Type, value) && !name.IsExported()) {
				say(name.Pos(), "package variable "+name.Name+": use a switch, a function or an unexported array; mutable state belongs to a value that somebody owns")
			}
		}
	}
}

func isSentinel(value ast.Expr) bool {
	call, ok := value.(*ast.CallExpr)
	if !ok {
		return false
	}
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	x, ok := sel.X.(*ast.Ident)
	return ok && (x.Name == "errors" && sel.Sel.Name == "New" || x.Name == "fmt" && sel.Sel.Name == "Errorf")
}

func isArray(typ, value ast.Expr) bool {
	if lit, ok := value.(*ast.CompositeLit); ok && typ == nil {
		typ = lit.Type
	}
	a, ok := typ.(*ast.ArrayType)
	return ok && a.Len != nil
}

// changed returns the identifiers at the root of what a statement assigns to, increments or takes the address of.
func changed(n ast.Node) []*ast.Ident {
	var exprs []ast.Expr
	switch n := n.(type) {
	case *ast.AssignStmt:
		if n.Tok != token.DEFINE {
			exprs = n.Lhs
		}
	case *ast.IncDecStmt:
		exprs = []ast.Expr{n.X}
	case *ast.UnaryExpr:
		if n.Op == token.AND {
			exprs = []ast.Expr{n.X}
		}
	}
	var names []*ast.Ident
	for _, e := range exprs {
		if id := root(e); id != nil {
			names = append(names, id)
		}
	}
	return names
}

// root returns the identifier that x of x[i].f or *x starts with; nil for anything else.
func root(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.IndexExpr:
			e = x.X
		case *ast.SelectorExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		default:
			return nil
		}
	}
}
