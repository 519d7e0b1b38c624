package services

import (
	"errors"
	"strconv"
	"time"

	"github.com/earshot-mq/earshot/internal/admin"
	"github.com/earshot-mq/earshot/publisher"
)

// meters count what a service answers. The zero value counts nothing.
type meters struct {
	answers func(status string)
	own     func(status int)
	took    func(service, route string, status int, took time.Duration)
}

func newMeters(door *admin.Server) (meters, error) {
	answers, err1 := door.Counts("earshot_service_answers_total", "Answers of the service's routes by status.", "status")
	own, err2 := door.Counts("earshot_service_unrecorded_answers_total",
		"Answers that net/http gave before any handler, by status; they have no record.", "status")
	took, err3 := door.Answers()
	m := meters{answers: answers, own: func(status int) { own(strconv.Itoa(status)) }, took: took}
	return m, errors.Join(err1, err2, err3)
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

// left notes how long each answer of a service took, and passes it on to next if there is one.
func (m meters) left(service string, next func(publisher.Observation)) func(publisher.Observation) {
	if m.took == nil {
		return next
	}
	return func(o publisher.Observation) {
		if !o.Stream {
			m.took(service, o.Route, o.Status, o.Took)
		}
		if next != nil {
			next(o)
		}
	}
}
