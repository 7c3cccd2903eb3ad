package conformance

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"

	"go.yaml.in/yaml/v3"
)

//go:embed declared.yaml
var declared []byte

// Declared are the deviations of this project's own plugins.
func Declared() []Deviation {
	all, err := parseDeclared("declared.yaml", declared)
	if err != nil {
		panic(err) // the file is part of the program
	}
	return all
}

// LoadDeclared reads deviations from a file.
func LoadDeclared(path string) ([]Deviation, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the declared deviations: %w", err)
	}
	return parseDeclared(path, text)
}

func parseDeclared(name string, text []byte) ([]Deviation, error) {
	var all []Deviation
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&all); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("cannot read the declared deviations in %s: %w", name, err)
	}
	for i, d := range all {
		if d.Plugin == "" || d.ID == "" || d.Reason == "" {
			return nil, fmt.Errorf("cannot use %s: entry %d needs plugin, id and reason", name, i+1)
		}
	}
	return all, nil
}
