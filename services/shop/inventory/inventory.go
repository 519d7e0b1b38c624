// Package inventory is the service that knows what is in stock, and sets it aside:
//
//	GET    /inventory/{id}
//	POST   /inventory/{id}/reservations                  Idempotency-Key, {"quantity":2}
//	GET    /inventory/{id}/reservations/{reservation}
//	DELETE /inventory/{id}/reservations/{reservation}
//
// # Delivery
//
// What was answered with 201 or 204 is on the disk. More is never set aside than there
// is, whatever the number of clients, or of processes that share the folder. Whoever got
// no answer asks again with the same Idempotency-Key: it sets aside once and gives the
// same reservation, also after a restart. A reservation holds until it is released.
//
// # Errors
//
// Problem documents: 404 for what is not known, 409 if there is not enough, 422 if a key
// was used for another request, 507 when the file has reached its bound.
package inventory

import (
	"context"
	"crypto/rand"
	_ "embed" // the data
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/earshot-mq/earshot/services"
	"github.com/earshot-mq/earshot/services/shop"
)

// Name is the service's name.
const Name = "inventory"

//go:embed stock.json
var file []byte

// stock is what there was of a product at the beginning.
type stock struct {
	Product shop.ID    `json:"product"`
	Stock   int        `json:"stock"`
	Low     int        `json:"low"` // from here on it is said to be low
	Restock *shop.Date `json:"restock"`
}

// Level is what there is of a product.
type Level struct {
	Product   shop.ID    `json:"product" example:"iphone-16-128"`
	Available int        `json:"available" minimum:"0" example:"64" doc:"How many pieces can be set aside."`
	Reserved  int        `json:"reserved" minimum:"0" example:"0" doc:"How many pieces are set aside."`
	State     string     `json:"state" enum:"in stock,low,sold out" example:"in stock"`
	Restock   *shop.Date `json:"restock,omitempty" doc:"When more is expected; missing if that is not known."`
}

// Reservation is what was set aside.
type Reservation struct {
	ID       shop.ID   `json:"id" example:"kq7zr3m5w2x4c6v8b9n1t0"`
	Product  shop.ID   `json:"product" example:"iphone-16-128"`
	Quantity int       `json:"quantity" minimum:"1" example:"2"`
	At       time.Time `json:"at" example:"2026-11-23T10:35:12Z"`
	State    string    `json:"state" enum:"held,released" example:"held"`
}

const (
	held     = "held"
	released = "released"
)

// New returns the service. It keeps its file in the folder that Router.Data names.
func New() *services.Service { return services.New(Name, routes) }

func routes(r *services.Router) {
	s := shop.Must(open(r.Data))
	conflict := []int{http.StatusNotFound, http.StatusConflict, http.StatusInsufficientStorage}
	huma.Register(r, shop.Get("inventory", "/inventory/{id}", "What is in stock", http.StatusNotFound), s.level)
	huma.Register(r, huma.Operation{
		OperationID: "reserve", Method: http.MethodPost, Path: "/inventory/{id}/reservations", Summary: "Set pieces aside",
		DefaultStatus: http.StatusCreated, MaxBodyBytes: 4 << 10, Errors: conflict, RejectUnknownQueryParameters: true,
	}, s.reserve)
	huma.Register(r, shop.Get("reservation", "/inventory/{id}/reservations/{reservation}", "What was set aside", http.StatusNotFound), s.reservation)
	huma.Register(r, huma.Operation{
		OperationID: "release", Method: http.MethodDelete, Path: "/inventory/{id}/reservations/{reservation}", Summary: "Put pieces back",
		Errors: conflict, RejectUnknownQueryParameters: true,
	}, s.release)
}

// entry is a line of the file: something set aside, or put back.
type entry struct {
	Key     string       `json:"key,omitempty"`
	Reserve *Reservation `json:"reserve,omitempty"`
	Release shop.ID      `json:"release,omitempty"`
}

// store is the stock, and what has been set aside of it. Its maps are guarded by log.
type store struct {
	log      *shop.Log[entry]
	stock    map[shop.ID]stock
	reserved map[shop.ID]int // by product
	byKey    map[string]*Reservation
	byID     map[shop.ID]*Reservation
}

func open(dir string) (s *store, err error) {
	s = &store{
		stock:    shop.Index(shop.Parse[[]stock](file), func(s stock) shop.ID { return s.Product }),
		reserved: map[shop.ID]int{}, byKey: map[string]*Reservation{}, byID: map[shop.ID]*Reservation{},
	}
	s.log, err = shop.OpenLog(dir, "reservations.jsonl", s.apply)
	return s, err
}

func (s *store) apply(e entry) {
	if r := e.Reserve; r != nil {
		s.byKey[e.Key], s.byID[r.ID] = r, r
		s.reserved[r.Product] += r.Quantity
	}
	if r := s.byID[e.Release]; r != nil && r.State == held {
		gone := *r // the old one may just be on its way to a client
		gone.State = released
		s.byID[r.ID] = &gone
		s.reserved[r.Product] -= r.Quantity
	}
}

type levelInput struct {
	ID shop.ID `path:"id" example:"iphone-16-128" doc:"The product."`
}

type levelOutput struct{ Body Level }

func (s *store) level(_ context.Context, in *levelInput) (out *levelOutput, err error) {
	p, ok := s.stock[in.ID]
	if !ok {
		return nil, shop.NotFound("product", in.ID, s.stock)
	}
	out = &levelOutput{Level{Product: in.ID, State: "in stock", Restock: p.Restock}}
	err = s.log.View(func() { out.Body.Reserved = s.reserved[in.ID] })
	out.Body.Available = max(0, p.Stock-out.Body.Reserved)
	switch {
	case out.Body.Available == 0:
		out.Body.State = "sold out"
	case out.Body.Available <= p.Low:
		out.Body.State = "low"
	}
	return out, err
}

type reserveInput struct {
	ID   shop.ID `path:"id" example:"iphone-16-128" doc:"The product."`
	Key  string  `header:"Idempotency-Key" required:"true" minLength:"8" maxLength:"64" pattern:"^[A-Za-z0-9._:-]+$" example:"0193587c-7d1e-7b3c-9d6a-5f2b1c0e4a77" doc:"The client's own name for this request, such as a UUID; the same when it is sent again."`
	Body struct {
		Quantity int `json:"quantity" minimum:"1" maximum:"99" example:"2" doc:"How many pieces."`
	}
}

type reserveOutput struct {
	Location string `header:"Location" doc:"Where the reservation is."`
	Body     Reservation
}

func (s *store) reserve(_ context.Context, in *reserveInput) (*reserveOutput, error) {
	p, ok := s.stock[in.ID]
	if !ok {
		return nil, shop.NotFound("product", in.ID, s.stock)
	}
	var out reserveOutput
	err := s.log.Update(func() (*entry, error) {
		if r := s.byKey[in.Key]; r != nil {
			if r.Product != in.ID || r.Quantity != in.Body.Quantity {
				return nil, shop.Invalid("header.Idempotency-Key", "the key was used for another request; take a new one")
			}
			out.Body = *s.byID[r.ID]
			return nil, nil
		}
		if free := max(0, p.Stock-s.reserved[in.ID]); free < in.Body.Quantity {
			return nil, huma.Error409Conflict(fmt.Sprintf("%d of %s are available, %d were asked for", free, in.ID, in.Body.Quantity))
		}
		out.Body = Reservation{
			ID: shop.ID(strings.ToLower(rand.Text())), Product: in.ID, Quantity: in.Body.Quantity,
			At: time.Now().UTC().Truncate(time.Second), State: held,
		}
		kept := out.Body
		return &entry{Key: in.Key, Reserve: &kept}, nil
	})
	out.Location = "/inventory/" + string(in.ID) + "/reservations/" + string(out.Body.ID)
	return &out, full(err)
}

type reservationInput struct {
	ID          shop.ID `path:"id" example:"iphone-16-128" doc:"The product."`
	Reservation shop.ID `path:"reservation" example:"kq7zr3m5w2x4c6v8b9n1t0" doc:"The reservation."`
}

type reservationOutput struct{ Body Reservation }

func (s *store) reservation(_ context.Context, in *reservationInput) (out *reservationOutput, err error) {
	if viewErr := s.log.View(func() { out, err = s.find(in) }); viewErr != nil {
		return nil, viewErr
	}
	return out, err
}

func (s *store) find(in *reservationInput) (*reservationOutput, error) {
	r := s.byID[in.Reservation]
	if r == nil || r.Product != in.ID {
		return nil, huma.Error404NotFound("there is no such reservation of " + string(in.ID))
	}
	return &reservationOutput{*r}, nil
}

// release puts back what was set aside. To do so again changes nothing and is no error.
func (s *store) release(_ context.Context, in *reservationInput) (*struct{}, error) {
	return nil, full(s.log.Update(func() (*entry, error) {
		r, err := s.find(in)
		if err != nil || r.Body.State == released {
			return nil, err
		}
		return &entry{Release: in.Reservation}, nil
	}))
}

func full(err error) error {
	if errors.Is(err, shop.ErrFull) {
		return huma.NewError(http.StatusInsufficientStorage, "no more reservations can be kept; the operator has to act", err)
	}
	return err
}
