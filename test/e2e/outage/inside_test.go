package outage_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"github.com/enichain/enichain/ipam/store"
)

// insideMark makes this test program do a small job inside a machine of the lab.
const insideMark = "inside-a-machine"

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == insideMark {
		if err := inside(os.Args[2], os.Args[3:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	flag.Parse()
	flag.Set("test.parallel", "4") // most of the time is spent waiting for back-offs
	os.Exit(m.Run())
}

func inside(job string, args []string) error {
	switch job {
	case "state":
		return printState()
	case "talk":
		return talk(args[0])
	case "stream":
		return stream(args[0])
	}
	return fmt.Errorf("there is no job %q", job)
}

func printState() error {
	var state store.State
	err := store.New(store.DefaultPath, store.Options{}).View(context.Background(), func(tx *store.Tx) error {
		state = tx.State()
		return nil
	})
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(state)
}

// pace is the time between two datagrams of a flow.
const pace = 50 * time.Millisecond

// talk sends datagrams from one port to another for ever, and prints what comes back.
func talk(to string) error {
	c, err := net.Dial("udp", to)
	if err != nil {
		return err
	}
	go func() {
		b := make([]byte, 512)
		for {
			n, err := c.Read(b)
			if err != nil { // an ICMP error of a port where nobody listens: the flow goes on
				time.Sleep(pace)
				continue
			}
			fmt.Printf("%s", b[:n])
		}
	}()
	for {
		_, _ = c.Write([]byte("hello\n")) // likewise
		time.Sleep(pace)
	}
}

// stream listens for a datagram and answers for ever.
func stream(at string) error {
	c, err := net.ListenPacket("udp", at)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	_, peer, err := c.ReadFrom(make([]byte, 64))
	if err != nil {
		return err
	}
	fmt.Printf("streaming to %s\n", peer)
	for {
		_, _ = c.WriteTo([]byte("news\n"), peer)
		time.Sleep(pace)
	}
}
