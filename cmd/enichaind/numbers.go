package main

import (
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/enichain/enichain/ipam/ec2"
	"github.com/enichain/enichain/ipam/reconcile"
	"github.com/enichain/enichain/stages"
)

// numbers are the daemon's metrics. What a part knows anyway is read when somebody asks; what happens is
// counted here. No pod is in a label, so their number is bounded by actions, codes, stages and nodes.
type numbers struct {
	registry *prometheus.Registry

	stageDuration *prometheus.HistogramVec
	stageErrors   *prometheus.CounterVec
	lockWait      prometheus.Histogram
	addWait       prometheus.Histogram
	badLines      prometheus.Counter
	called        *prometheus.HistogramVec
	throttled     *prometheus.CounterVec
	notSent       *prometheus.CounterVec
	listed        *prometheus.HistogramVec
	leader        prometheus.Gauge
	departed      *prometheus.CounterVec
	served        *prometheus.HistogramVec
}

var _ reconcile.Watch = (*numbers)(nil)

// fromMillisecond are bucket bounds of 1 ms to 10 s, in seconds.
func fromMillisecond() []float64 {
	return []float64{.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10}
}

func newNumbers(d *daemon) *numbers {
	histogram := func(name, help string, bounds []float64) prometheus.HistogramOpts {
		return prometheus.HistogramOpts{Namespace: "enichain", Name: name, Help: help, Buckets: bounds}
	}
	counter := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Namespace: "enichain", Name: name, Help: help}
	}
	n := &numbers{
		registry: prometheus.NewRegistry(),
		stageDuration: prometheus.NewHistogramVec(histogram("stage_duration_seconds", "One run of a stage.", fromMillisecond()),
			[]string{"stage", "command", "result"}),
		stageErrors: prometheus.NewCounterVec(counter("stage_errors_total", "Runs of a stage that failed."),
			[]string{"stage", "command", "token"}),
		lockWait: prometheus.NewHistogram(histogram("pool_lock_wait_seconds", "Waiting for the pool file's lock, per run of eni-ipam.",
			[]float64{.0001, .0002, .0005, .001, .002, .005, .01, .02, .05, .1, .5, 2})),
		addWait: prometheus.NewHistogram(histogram("add_wait_seconds", "Waiting for an address, per ADD of eni-ipam.",
			[]float64{.001, .01, .1, .5, 1, 2, 5, 10, 20, 60})),
		badLines: prometheus.NewCounter(counter("flight_bad_lines_total", "Lines of the flight record that could not be read.")),
		called: prometheus.NewHistogramVec(histogram("ec2_request_duration_seconds", "One call to EC2, by its answer.",
			[]float64{.05, .1, .2, .5, 1, 2, 5, 10, 15}), []string{"action", "code"}),
		throttled: prometheus.NewCounterVec(counter("ec2_throttled_total", "Calls that EC2 refused for their rate."), []string{"action"}),
		notSent: prometheus.NewCounterVec(counter("ec2_not_sent_total",
			"Calls that were not made: their turn did not come in time, or leadership was lost."), []string{"action"}),
		listed: prometheus.NewHistogramVec(histogram("reconcile_duration_seconds", "Reading EC2's lists.",
			[]float64{.05, .1, .2, .5, 1, 2, 5, 10, 30, 60}), []string{"outcome"}),
		departed: prometheus.NewCounterVec(counter("departed_stage_runs_total",
			"DEL and GC of stages that were taken out of a list."), []string{"stage", "command", "result"}),
		served: prometheus.NewHistogramVec(histogram("demand_to_address_seconds",
			"From a snapshot in which pods of a pool wait to one in which none does, where EC2 gave what they got.",
			[]float64{.5, 1, 2, 3, 5, 7, 10, 15, 20, 30, 60, 120, 300}), []string{"pool", "how"}),
		leader: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "enichain", Name: "leader", Help: "1 while this reconciler leads."}),
	}
	n.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		&gatherer{daemon: d})
	if d.config.Has(RoleAgent) {
		n.registry.MustRegister(n.stageDuration, n.stageErrors, n.lockWait, n.addWait, n.badLines, n.departed)
	}
	if d.config.Has(RoleReconciler) {
		n.registry.MustRegister(n.called, n.throttled, n.notSent, n.listed, n.leader, n.served)
	}
	return n
}

func (n *numbers) handler() http.Handler {
	return promhttp.HandlerFor(n.registry, promhttp.HandlerOpts{})
}

// flew counts one run of a stage.
func (n *numbers) flew(f stages.Flight) {
	result := "ok"
	if f.Token != "" {
		result = "error"
		n.stageErrors.WithLabelValues(f.Stage, f.Command, string(f.Token)).Inc()
	}
	n.stageDuration.WithLabelValues(f.Stage, f.Command, result).Observe(float64(f.Took) / 1e6)
	if f.Stage != "eni-ipam" {
		return
	}
	n.lockWait.Observe(float64(f.Lock) / 1e6)
	if f.Command == "ADD" {
		n.addWait.Observe(float64(f.Wait) / 1e6)
	}
}

// Called counts a call to EC2, or one that was not made.
func (n *numbers) Called(action reconcile.Action, code string, took time.Duration) {
	if code == string(reconcile.NotSent) {
		n.notSent.WithLabelValues(string(action)).Inc()
		return
	}
	n.called.WithLabelValues(string(action), code).Observe(took.Seconds())
	if class, _ := ec2.ClassOf(code, ""); class == reconcile.Throttled {
		n.throttled.WithLabelValues(string(action)).Inc()
	}
}

// Served tells how long pods waited for EC2.
func (n *numbers) Served(pool, how string, took time.Duration) {
	n.served.WithLabelValues(pool, how).Observe(took.Seconds())
}

// Departed counts one run of a stage that was taken out of a list.
func (n *numbers) Departed(stage, command string, err error) {
	result := "ok"
	if err != nil {
		result = "error"
	}
	n.departed.WithLabelValues(stage, command, result).Inc()
}

// Listed counts a complete list.
func (n *numbers) Listed(outcome string, took time.Duration) {
	n.listed.WithLabelValues(outcome).Observe(took.Seconds())
}

// Leading is 1 while this reconciler leads.
func (n *numbers) Leading(leading bool) {
	n.leader.Set(0)
	if leading {
		n.leader.Set(1)
	}
}

// gatherer reads the parts when somebody asks.
type gatherer struct{ daemon *daemon }

var _ prometheus.Collector = (*gatherer)(nil)

// Describe tells nothing: which of them there are depends on the roles and the nodes.
func (*gatherer) Describe(chan<- *prometheus.Desc) {}

// Collect tells all that is known now.
func (g *gatherer) Collect(to chan<- prometheus.Metric) {
	d := g.daemon
	gauge := func(name, help string, value float64, labels ...string) {
		emit(to, prometheus.GaugeValue, name, help, value, labels)
	}
	count := func(name, help string, value int, labels ...string) {
		emit(to, prometheus.CounterValue, name, help, float64(value), labels)
	}
	gauge("build_info", "The running version.", 1, "component", "enichaind", "version", version())
	c := d.configState()
	gauge("config_faults", "Faults of the configuration file as it is now; while there are any it changes nothing.", float64(len(c.Faults)))
	gauge("config_restart_keys", "Keys that differ in the configuration file and need a restart.", float64(len(c.Restart)))
	count("config_changes_total", "Changes of the configuration file.", int(c.Changes), "result", "taken")
	count("config_changes_total", "Changes of the configuration file.", int(c.Refused), "result", "refused")
	gauge("bus_connected", "1 while every connection to the bus stands.", number(d.busStatus().Connected))
	if shell := d.agent.Load(); shell != nil {
		s := shell.Status()
		pools(gauge, s.Snapshot)
		d.fileNumbers(gauge)
		d.veto.gather(gauge)
		gauge("snapshot_age_seconds", "Since the bus acknowledged a snapshot; -1 before the first.", age(s.Published))
		count("kernel_repairs_total", "Times that something of ours was missing in the kernel and was put back.", s.Repairs)
		gauge("eni_mtu_refused", "Network interfaces whose link did not take their pool's MTU when they were last prepared.",
			float64(len(s.MTURefused)))
		count("bus_publish_total", "Snapshots told to the bus.", s.Publishes, "kind", "snapshot", "result", "ok")
		count("bus_publish_total", "Snapshots told to the bus.", s.Failures, "kind", "snapshot", "result", "error")
	}
	if shell := d.reconciler.Load(); shell != nil {
		d.demand.gather(gauge)
		if p := d.picture(context.Background()); p != nil {
			fleet(gauge, *p)
		}
	}
	if cloud := d.ec2.Load(); cloud != nil {
		for _, l := range cloud.Levels() {
			gauge("ec2_tokens", "Calls that may go to EC2 at once now, by our own pace.", l.Tokens, "action", string(l.Action))
			gauge("ec2_rate", "Calls a second that may go to EC2 now, as slowed down by throttling.", l.Rate, "action", string(l.Action))
			gauge("ec2_rate_full", "Calls a second that may go to EC2 without throttling.", l.Full, "action", string(l.Action))
			gauge("ec2_calls_waiting", "Calls that wait for their turn.", float64(l.Waiting), "action", string(l.Action))
		}
	}
}

type emitter func(name, help string, value float64, labels ...string)

func emit(to chan<- prometheus.Metric, kind prometheus.ValueType, name, help string, value float64, labels []string) {
	var names, values []string
	for i := 0; i+1 < len(labels); i += 2 {
		names, values = append(names, labels[i]), append(values, labels[i+1])
	}
	to <- prometheus.MustNewConstMetric(prometheus.NewDesc("enichain_"+name, help, names, nil), kind, value, values...)
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func age(at time.Time) float64 {
	if at.IsZero() {
		return -1
	}
	return time.Since(at).Seconds()
}
