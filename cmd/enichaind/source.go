package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// source is where a configuration comes from: its file, and what the command line lays over it.
type source struct {
	file string
	over func(*Config)
	text []byte // as it was read at the start
}

// load reads the configuration for the first time.
func (s *source) load() (Config, error) {
	text, err := os.ReadFile(s.file)
	if errors.Is(err, os.ErrNotExist) {
		return Config{}, fmt.Errorf("no configuration in %s: 'enichaind --print-config' prints one to begin with", s.file)
	}
	if err != nil {
		return Config{}, fmt.Errorf("cannot read the configuration: %w", err)
	}
	s.text = text
	c, err := parse(text, s.over)
	if err != nil {
		return Config{}, fmt.Errorf("%s: %w", s.file, err)
	}
	return c, nil
}

// overlay lays what the command line says over a configuration; it is judged with it.
func overlay(roles, level string) func(*Config) {
	return func(c *Config) {
		if roles != "" {
			c.Roles = strings.Split(roles, ",")
		}
		if level != "" {
			c.Log.Level = level
		}
	}
}
