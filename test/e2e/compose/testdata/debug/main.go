// Command debug stands for cni's plugin of that name, which has no release of its own: it hands on the result of the
// stages before it, or an empty one, and writes down what it was told where its configuration names a file.
package main

import (
	"encoding/json"
	"fmt"
	"os"
)

func main() {
	var config struct {
		Version string          `json:"cniVersion"`
		Output  string          `json:"cniOutput"`
		Prev    json.RawMessage `json:"prevResult"`
	}
	err := json.NewDecoder(os.Stdin).Decode(&config)
	command := os.Getenv("CNI_COMMAND")
	switch {
	case command == "VERSION":
		fmt.Println(`{"cniVersion":"1.1.0","supportedVersions":["0.1.0","0.2.0","0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]}`)
		return
	case err == nil && config.Output != "":
		err = os.WriteFile(config.Output, []byte(command+" "+os.Getenv("CNI_CONTAINERID")+"\n"), 0o644)
	}
	if err != nil {
		fmt.Printf(`{"code":6,"msg":%q}`, err)
		os.Exit(1)
	}
	if command != "ADD" {
		return
	}
	if config.Prev == nil {
		config.Prev = json.RawMessage(fmt.Sprintf(`{"cniVersion":%q}`, config.Version))
	}
	os.Stdout.Write(config.Prev)
}
