package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
)

// ask makes a request to the lab's holder. body and answer may be nil.
func ask(ctx context.Context, s *state, method, path string, body, answer any) error {
	r, err := request(ctx, s, method, path, body)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(r.Body)
		return fail(exitUsage, "%s", strings.TrimSpace(string(text)))
	}
	if answer == nil {
		return nil
	}
	if err := json.NewDecoder(r.Body).Decode(answer); err != nil {
		return fail(exitBlind, "cannot read lab %s's answer: %w", s.Name, err)
	}
	return nil
}

func request(ctx context.Context, s *state, method, path string, body any) (*http.Response, error) {
	var content io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://lab"+path, content)
	if err != nil {
		return nil, err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", s.socket())
		}}}
	answer, err := client.Do(r)
	if err != nil {
		return nil, fail(exitBlind, "lab %s does not answer: %w; 'vpclab down --lab %s' clears it away", s.Name, err, s.Name)
	}
	return answer, nil
}

// labView is the lab as its holder sees it, without the subnets' free addresses.
func labView(ctx context.Context, s *state) (view, error) { return viewFrom(ctx, s, "/v1/lab") }

// fullView has those too, which costs a call of EC2.
func fullView(ctx context.Context, s *state) (view, error) { return viewFrom(ctx, s, "/v1/lab?free") }

func viewFrom(ctx context.Context, s *state, path string) (view, error) {
	var v view
	err := ask(ctx, s, http.MethodGet, path, nil, &v)
	v.Endpoint = s.Endpoint
	return v, err
}

// enter finds the lab and its view.
func (o *options) enter(ctx context.Context) (*state, view, error) {
	s, err := findLab(o.lab)
	if err != nil {
		return nil, view{}, err
	}
	v, err := labView(ctx, s)
	return s, v, err
}

// print writes value as JSON if that was asked for, else calls text.
func (o *options) print(w io.Writer, value any, text func()) error {
	if o.format != "json" {
		text()
		return nil
	}
	b, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(w, string(b))
	return err
}
