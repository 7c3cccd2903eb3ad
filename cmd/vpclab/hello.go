package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

// greeting says who answers and whom it sees.
func greeting(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.RemoteAddr)
		if err != nil {
			host = r.RemoteAddr
		}
		fmt.Fprintf(w, "hello from %s; you are %s\n", name, host)
	})
}

// helloCommand is the only program of a pod: port 80 by TCP and UDP.
func helloCommand() *cobra.Command {
	return &cobra.Command{Use: "__hello NAME", Args: cobra.ExactArgs(1), RunE: func(_ *cobra.Command, args []string) error {
		listener, err := net.Listen("tcp", ":80")
		if err != nil {
			return fmt.Errorf("cannot listen in the pod: %w", err)
		}
		packets, err := net.ListenPacket("udp", ":80")
		if err != nil {
			return fmt.Errorf("cannot listen in the pod: %w", err)
		}
		fmt.Println("ready")
		go answerPackets(packets, args[0])
		s := &http.Server{Handler: greeting(args[0]), ReadHeaderTimeout: 10 * time.Second}
		if err := s.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	}}
}

func answerPackets(c net.PacketConn, name string) {
	b := make([]byte, 64)
	for {
		_, from, err := c.ReadFrom(b)
		if err != nil {
			return
		}
		host, _, _ := net.SplitHostPort(from.String())
		fmt.Fprintf(answerTo{c, from}, "hello from %s; you are %s\n", name, host)
	}
}

// answerTo writes packets to one address.
type answerTo struct {
	net.PacketConn
	to net.Addr
}

func (a answerTo) Write(b []byte) (int, error) { return a.WriteTo(b, a.to) }
