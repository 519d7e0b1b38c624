package services

import (
	"errors"
	"strconv"

	"github.com/earshot-mq/earshot/internal/admin"
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
