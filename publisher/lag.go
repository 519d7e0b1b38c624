package publisher

import (
	"cmp"
	"slices"
	"time"

	"github.com/earshot-mq/earshot/internal/feed"
	"github.com/earshot-mq/earshot/internal/journal"
	"github.com/earshot-mq/earshot/internal/metric"
	"github.com/earshot-mq/earshot/publisher/record"
)

// lag is what a store has not committed: of any run that is held, adopted ones too.
type lag struct {
	store, id string
	records   uint64
	age       time.Duration // of the oldest of them
}

// mostDated is of how many runs the oldest record is looked up for one store's lag: those
// of which most is missing.
const mostDated = 16

// readLags tells of every store that has a cursor. It reads one record for each run that one
// lacks something of.
func (p *Publisher) readLags(now time.Time) (all []lag) {
	stores := p.commits.List()
	if len(stores) == 0 {
		return nil
	}
	offers, _ := p.Offers()
	for _, st := range stores {
		all = append(all, p.lag(&st, offers, now))
	}
	return all
}

func (p *Publisher) lag(st *journal.Store, offers []feed.Offer, now time.Time) lag {
	next := map[record.Run]uint64{}
	for _, r := range st.Runs {
		if epoch, err := record.ParseEpoch([]byte(r.Epoch)); err == nil {
			next[record.Run{Stream: r.Stream, Epoch: epoch}] = r.Next
		}
	}
	type missing struct {
		run     record.Run
		from, n uint64
	}
	l := lag{store: st.Name, id: st.ID}
	var behind []missing
	for i := range offers {
		o := &offers[i]
		if from := max(next[o.Run], o.Oldest); from <= o.Last {
			behind = append(behind, missing{o.Run, from, o.Last - from + 1})
			l.records += o.Last - from + 1
		}
	}
	slices.SortFunc(behind, func(a, b missing) int { return cmp.Compare(b.n, a.n) })
	for _, m := range behind[:min(len(behind), mostDated)] {
		data, _, err := p.Read(nil, m.run, m.from, 1)
		if err != nil {
			continue // gone meanwhile, or it can't be read: replay tells of that
		}
		if at, ok := journal.TimeOf(data, m.from); ok {
			l.age = max(l.age, now.Sub(at))
		}
	}
	return l
}

// lagMetrics is what the stores lack.
func (p *Publisher) lagMetrics() []metric.Metric {
	each := func(value func(*lag) float64) func(func(float64, ...string)) {
		return func(yield func(float64, ...string)) {
			for _, l := range p.looks.lagging() {
				yield(value(&l), l.store, l.id)
			}
		}
	}
	labels := []string{"store", "id"}
	return []metric.Metric{
		{
			Name: "earshot_cursor_lag_records", Now: true, Labels: labels, Help: "Records that the store has not committed yet. Stores commit each second.",
			Each: each(func(l *lag) float64 { return float64(l.records) }),
		},
		{
			Name: "earshot_cursor_lag_seconds", Now: true, Labels: labels, Help: "Age of the oldest record that the store has not committed.",
			Each: each(func(l *lag) float64 { return l.age.Seconds() }),
		},
	}
}
