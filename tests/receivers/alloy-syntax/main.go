// SPDX-License-Identifier: Apache-2.0

// Reads a file as Grafana Alloy does, and prints it as Alloy formats it. What its
// components and their arguments are called it does not know.
package main

import (
	"bytes"
	"log"
	"os"

	"github.com/grafana/alloy/syntax/parser"
	"github.com/grafana/alloy/syntax/printer"
)

func main() {
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	file, err := parser.ParseFile(os.Args[1], text)
	if err != nil {
		log.Fatal(err)
	}
	var formatted bytes.Buffer
	if err := printer.Fprint(&formatted, file); err != nil {
		log.Fatal(err)
	}
	formatted.WriteByte('\n')
	if _, err := formatted.WriteTo(os.Stdout); err != nil {
		log.Fatal(err)
	}
}
