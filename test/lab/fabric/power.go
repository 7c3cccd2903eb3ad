package fabric

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// keptFolders are what an instance finds again after a stop and a start; its /run is empty then, as on any machine.
var keptFolders = []string{"/etc/cni", "/etc/enichain", "/var/lib/cni", "/var/lib/enichain"}

// disk is the content of the kept folders by path.
type disk map[string]diskFile

type diskFile struct {
	mode    fs.FileMode
	content []byte
}

// Stop ends an instance's machine: every process in it, its namespaces and its links. What is in /etc/cni, /etc/enichain,
// /var/lib/cni and /var/lib/enichain is kept for Start. One that is off already is no error.
func (f *Fabric) Stop(ctx context.Context, name string) error {
	f.mu.Lock()
	n, off := f.nodes[name], f.disks[name] != nil
	f.mu.Unlock()
	if off {
		return nil
	}
	if n == nil {
		return fmt.Errorf("fabric: cannot stop %s: there is no such node", name)
	}
	n.killAll()
	kept, err := readDisk(n)
	if err != nil {
		return fmt.Errorf("fabric: cannot keep the files of %s: %w", name, err)
	}
	if err := f.Terminate(ctx, name); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.disks[name], f.stopped[name] = kept, n
	return nil
}

// Start makes a stopped instance's machine anew: without links, with the files that were kept and another boot id
// (/proc/sys/kernel/random/boot_id). The Node is the one from before.
func (f *Fabric) Start(ctx context.Context, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, kept := f.stopped[name], f.disks[name]
	if n == nil {
		return fmt.Errorf("fabric: cannot start %s: it is not off", name)
	}
	m, err := start(ctx, name, ownFolders+anotherBoot)
	if err != nil {
		return err
	}
	n.machine.Store(m)
	if err := kept.write(n); err != nil {
		return errors.Join(fmt.Errorf("fabric: cannot give %s its files back: %w", name, err), m.close())
	}
	f.nodes[name] = n
	delete(f.stopped, name)
	delete(f.disks, name)
	return nil
}

// killAll ends every process in the node's mount namespace but its anchor.
func (n *Node) killAll() {
	own, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/mnt", n.PID()))
	if err != nil {
		return // the machine is gone
	}
	links, _ := filepath.Glob("/proc/[0-9]*/ns/mnt")
	for _, link := range links {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(link))))
		if space, _ := os.Readlink(link); err == nil && space == own && pid != n.PID() && pid != os.Getpid() {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended by itself
		}
	}
}

func readDisk(n *Node) (disk, error) {
	d := disk{}
	for _, folder := range keptFolders {
		root := n.Path(folder)
		err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := e.Info()
			if err != nil {
				return err
			}
			name := filepath.Join(folder, path[len(root):])
			switch {
			case e.IsDir():
				d[name] = diskFile{mode: info.Mode()}
			case info.Mode().IsRegular(): // sockets do not outlive a machine
				content, err := os.ReadFile(path)
				if err != nil {
					return err
				}
				d[name] = diskFile{info.Mode(), content}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return d, nil
}

func (d disk) write(n *Node) error {
	for name, file := range d {
		path := n.Path(name)
		if file.mode.IsDir() {
			if err := os.MkdirAll(path, file.mode.Perm()); err != nil {
				return err
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, file.content, file.mode.Perm()); err != nil {
			return err
		}
	}
	return nil
}
