// Package wire is the EC2 Query API (version 2016-11-15) in front of a vpc.World, for the unmodified AWS SDKs and CLI.
// What a request may be and what it does are the World's rules; here are names, types and XML.
package wire

import (
	"context"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/enichain/enichain/test/lab/vpc"
)

const apiVersion = "2016-11-15"

// mostBody is the largest request in bytes that is read.
const mostBody = 1 << 20

// Clock is the time that a handler lives in. Wait returns at the instant, or earlier with the context's error.
type Clock interface {
	Now() time.Time
	Wait(ctx context.Context, until time.Time) error
}

// RealClock is the machine's own time.
type RealClock struct{}

var _ Clock = RealClock{}

// Now is the time of day.
func (RealClock) Now() time.Time { return time.Now() }

// Wait sleeps.
func (RealClock) Wait(ctx context.Context, until time.Time) error {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Handler serves the API. The caller that the World's counters and journal name is the access key id of the signature's
// credential scope; the signature itself is not checked, as the lab has no secrets.
//
// An answer is held back until its time. Before that settle, if it is not nil, is called so that a lab's kernel side is
// never behind what a client was told; and it is called at once after each request, as there may be a new change to
// wait for.
func Handler(world *vpc.World, clock Clock, settle func(now time.Time)) http.Handler {
	if settle == nil {
		settle = func(time.Time) {}
	}
	return &handler{world, clock, settle}
}

type handler struct {
	world  *vpc.World
	clock  Clock
	settle func(time.Time)
}

func (h *handler) ServeHTTP(rw http.ResponseWriter, hr *http.Request) {
	request, caller, refusal := h.read(hr)
	if refusal != nil {
		h.answer(rw, "", vpc.Response{RequestID: "00000000-0000-4000-8000-000000000000"}, refusal)
		return
	}
	response, refusal := h.world.Call(h.clock.Now(), caller, request)
	h.settle(h.clock.Now())
	if err := h.clock.Wait(hr.Context(), response.Answered); err != nil {
		return // the client went away; what it asked for has happened all the same
	}
	h.settle(h.clock.Now())
	h.answer(rw, request.Action(), response, refusal)
}

func (h *handler) read(hr *http.Request) (vpc.Request, string, *vpc.Error) {
	form, refusal := readForm(hr)
	if refusal != nil {
		return nil, "", refusal
	}
	caller, refusal := h.caller(hr.Header.Get("Authorization"))
	if refusal != nil {
		return nil, "", refusal
	}
	root, refusal := parse(form)
	if refusal != nil {
		return nil, "", refusal
	}
	request, refusal := decode(root)
	return request, caller, refusal
}

func readForm(hr *http.Request) (url.Values, *vpc.Error) {
	malformed := func(why string) *vpc.Error { return vpc.Refuse("MalformedQueryString", "%s", why) }
	switch hr.Method {
	case http.MethodGet:
		form, err := url.ParseQuery(hr.URL.RawQuery)
		if err != nil {
			return nil, malformed("the query string contains a syntax error")
		}
		return form, nil
	case http.MethodPost:
	default:
		return nil, vpc.Refuse("InvalidRequest", "The method %s is not allowed", hr.Method)
	}
	kind, _, err := mime.ParseMediaType(hr.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, malformed("the body is not application/x-www-form-urlencoded")
	}
	body, err := io.ReadAll(io.LimitReader(hr.Body, mostBody+1))
	if err != nil || len(body) > mostBody {
		return nil, malformed("the body cannot be read or is larger than 1 MiB")
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, malformed("the body contains a syntax error")
	}
	return form, nil
}

// caller reads the access key id from "AWS4-HMAC-SHA256 Credential=KEY/DATE/REGION/ec2/aws4_request, …" (AWS Signature
// Version 4).
func (h *handler) caller(authorization string) (string, *vpc.Error) {
	if authorization == "" {
		return "", vpc.Refuse("MissingAuthenticationToken", "The request must contain a signature")
	}
	algorithm, rest, _ := strings.Cut(authorization, " ")
	_, scope, found := strings.Cut(rest, "Credential=")
	scope, _, _ = strings.Cut(scope, ",")
	parts := strings.Split(strings.TrimSpace(scope), "/")
	if algorithm != "AWS4-HMAC-SHA256" || !found || len(parts) != 5 || parts[0] == "" || parts[4] != "aws4_request" {
		return "", vpc.Refuse("IncompleteSignature", "The request signature does not conform to AWS standards.")
	}
	if region := h.world.Config().Region; parts[2] != region || parts[3] != "ec2" {
		return "", vpc.Refuse(vpc.CodeAuthFailure, "Credential should be scoped to %s/ec2, not %s/%s", region, parts[2], parts[3])
	}
	return parts[0], nil
}

func (h *handler) answer(rw http.ResponseWriter, action string, response vpc.Response, refusal *vpc.Error) {
	status, body := http.StatusOK, []byte(nil)
	if refusal != nil {
		status, body = refusal.HTTPStatus, encodeError(response.RequestID, refusal)
	} else {
		body = h.encode(action, response)
	}
	rw.Header().Set("Content-Type", "text/xml;charset=UTF-8")
	rw.Header().Set("X-Amzn-Requestid", response.RequestID)
	rw.WriteHeader(status)
	if _, err := rw.Write(body); err != nil {
		slog.Debug("cannot answer", "action", action, "error", err)
	}
}
