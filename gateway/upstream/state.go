package upstream

// State is what is known of an upstream now.
type State struct {
	Failures uint64 // requests without a whole answer
	Retries  uint64 // tries at another replica than the first
	Replicas []Replica
}

// Replica is one address of an upstream.
type Replica struct {
	Addr      string
	In        bool // it is to get requests; while none is, all get some
	InFlight  int64
	Ejections uint64
}

// State says what is known now. A replica is forgotten when its address is.
func (u *HTTP) State() State {
	s := State{Failures: u.failures.Load(), Retries: u.retries.Load()}
	for _, r := range *u.replicas.Load() {
		s.Replicas = append(s.Replicas, Replica{
			Addr: r.String(), In: !r.health.out.Load(), InFlight: r.inFlight.Load(), Ejections: r.health.ejected.Load(),
		})
	}
	return s
}
