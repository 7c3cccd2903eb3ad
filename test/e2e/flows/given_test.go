package flows_test

import (
	"os"
	"path/filepath"
)

// given is a CNI plugin: it answers ADD with what the test wrote down for the container, in place of eni-ipam, so that
// the data path can be tried without a pool. A script, because this test's own binary takes a second to start when it
// detects races.
const given = `#!/bin/sh
cat > /dev/null
if [ "$CNI_COMMAND" = ADD ]; then cat "/run/given/$CNI_CONTAINERID"; fi
`

func writeGiven(bin string) error {
	return os.WriteFile(filepath.Join(bin, "given"), []byte(given), 0o755)
}

// give writes down what the plugin answers for a container.
func (w *world) give(container string, result []byte) {
	w.t.Helper()
	must(w.t, os.MkdirAll(w.node.Path("/run/given"), 0o755))
	must(w.t, os.WriteFile(w.node.Path("/run/given/"+container), result, 0o644))
}
