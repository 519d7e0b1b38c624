package services

import (
	"errors"
	"strconv"
	"sync/atomic"

	"github.com/earshot-mq/earshot/internal/admin"
	"github.com/earshot-mq/earshot/publisher"
)

// meters count what a service answers. The zero value counts nothing.
type meters struct {
	answers func(status string)
	own     func(status int)
}

func newMeters(door *admin.Server) (meters, error) {
	answers, err1 := door.Counts("earshot_service_answers_total", "Answers of the service's routes by status.", "status")
	own, err2 := door.Counts("earshot_service_unrecorded_answers_total",
		"Answers that net/http gave before any handler, by status; they have no record.", "status")
	m := meters{answers: answers, own: func(status int) { own(strconv.Itoa(status)) }}
	return m, errors.Join(err1, err2)
}

// observed counts each answer, and passes it on to next if there is one.
func (m meters) observed(next func(Observation)) func(Observation) {
	if m.answers == nil {
		return next
	}
	return func(o Observation) {
		m.answers(strconv.Itoa(o.Status))
		if next != nil {
			next(o)
		}
	}
}

// meterJournal shows what an operator has to know of the journal, under the names that
// "earshot service" has for it.
func meterJournal(door *admin.Server, pub *publisher.Publisher) error {
	st := pub.JournalStats()
	return errors.Join(
		door.Counter("earshot_records_total", "Records that were given a number.", total(&st.Records)),
		door.Gauge("earshot_journal_degraded", "1 while the journal can't be written and records are held in memory.", func() float64 {
			if st.Degraded.Load() {
				return 1
			}
			return 0
		}),
		door.Gauge("earshot_journal_bytes", "Bytes of the journal on disk, adopted ones included.", func() float64 { return float64(pub.JournalBytes()) }),
		door.Counter("earshot_journal_lost_records_total", "Records that fell out of the memory while the journal could not be written.", total(&st.Lost)),
		door.Counter("earshot_journal_dropped_records_total", "Records dropped past the bound before every store had them.", func() float64 { return float64(pub.Dropped()) }),
	)
}

func total(v *atomic.Uint64) func() float64 { return func() float64 { return float64(v.Load()) } }
