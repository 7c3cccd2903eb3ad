package flows_test

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// TestMain is also a CNI plugin: called by the name "given" it answers ADD with what the list says for the container,
// in place of eni-ipam, so that the data path can be tried without a pool.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "given" {
		os.Exit(given())
	}
	os.Exit(m.Run())
}

func given() int {
	var config struct {
		Results map[string]json.RawMessage `json:"results"` // by container
	}
	stdin, err := io.ReadAll(os.Stdin)
	if err == nil {
		err = json.Unmarshal(stdin, &config)
	}
	if err != nil {
		fmt.Printf(`{"cniVersion":"1.0.0","code":6,"msg":%q}`, err.Error())
		return 1
	}
	if os.Getenv("CNI_COMMAND") == "ADD" {
		os.Stdout.Write(config.Results[os.Getenv("CNI_CONTAINERID")])
	}
	return 0
}
