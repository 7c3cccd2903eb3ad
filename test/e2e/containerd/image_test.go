package containerd

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"testing"

	"github.com/enichain/enichain/test/need"
)

// image is the only one there is: the sandbox's, whose process sleeps, and the pods', which run a web server.
const image = "localhost/enichain/busybox:1"

// who is the pods' answer: its own name and whom it sees.
const who = "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\n%s sees %s\\n' \"$(hostname)\" \"$REMOTE_ADDR\"\n"

// imageArchive is an OCI image layout (image-spec v1.1, "image-layout") in a tar file, made of one static program.
func imageArchive(t *testing.T) []byte {
	t.Helper()
	layer := busyboxLayer(t)
	config := encode(t, map[string]any{
		"architecture": runtime.GOARCH, "os": "linux",
		"config": map[string]any{"Entrypoint": []string{"/bin/sleep", "1000000"}, "Env": []string{"PATH=/bin"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{digest(layer)}},
	})
	manifest := encode(t, map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
		"config": descriptor("application/vnd.oci.image.config.v1+json", config),
		"layers": []any{descriptor("application/vnd.oci.image.layer.v1.tar", layer)},
	})
	named := descriptor("application/vnd.oci.image.manifest.v1+json", manifest)
	named["annotations"] = map[string]string{"io.containerd.image.name": image, "org.opencontainers.image.ref.name": image}
	files := []file{
		{"oci-layout", 0o644, encode(t, map[string]string{"imageLayoutVersion": "1.0.0"}), ""},
		{"index.json", 0o644, encode(t, map[string]any{"schemaVersion": 2, "manifests": []any{named}}), ""},
	}
	for _, blob := range [][]byte{layer, config, manifest} {
		files = append(files, file{"blobs/sha256/" + digest(blob)[len("sha256:"):], 0o644, blob, ""})
	}
	return archive(t, files)
}

func busyboxLayer(t *testing.T) []byte {
	t.Helper()
	path := need.Tool(t, "busybox", "busybox-static")
	program, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := elf.NewFile(bytes.NewReader(program))
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	for _, segment := range parsed.Progs {
		if segment.Type == elf.PT_INTERP {
			t.Fatalf("%s is linked dynamically and cannot run alone in an image: apt-get install busybox-static", path)
		}
	}
	files := []file{{"bin/busybox", 0o755, program, ""}, {"www/cgi-bin/who", 0o755, []byte(who), ""}}
	for _, name := range []string{"sh", "sleep", "httpd", "hostname", "printf"} {
		files = append(files, file{"bin/" + name, 0o777, nil, "busybox"})
	}
	return archive(t, files)
}

// file is an entry of a tar archive; one with a target is a symbolic link.
type file struct {
	name    string
	mode    int64
	content []byte
	target  string
}

func archive(t *testing.T, files []file) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range files {
		header := &tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.content)), Typeflag: tar.TypeReg}
		if f.target != "" {
			header.Typeflag, header.Linkname = tar.TypeSymlink, f.target
		}
		if err := w.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(f.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func encode(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func digest(blob []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(blob)) }

func descriptor(mediaType string, blob []byte) map[string]any {
	return map[string]any{"mediaType": mediaType, "digest": digest(blob), "size": len(blob)}
}
