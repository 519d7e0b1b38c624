// Package reviews is the service that knows what customers say of a product, and takes
// what they have to say:
//
//	GET  /reviews?product=iphone-16-128&after=&limit=
//	POST /reviews     {"product":"…","customer":"…","author":"…","rating":5,"title":"…","text":"…"}
//
// # Delivery
//
// What was answered with 201 is on the disk. A customer has one review of a product, so
// that to send it again, after an answer that was lost, is no second one: it gets the
// same answer.
//
// # Errors
//
// Problem documents: 409 if the customer has said something else of the product, 422 if
// the review can't be, 507 when the file has reached its bound. That the client is this
// customer is for the gateway to see, and what is posted is not marked as verified.
package reviews

import (
	"cmp"
	"context"
	_ "embed" // the data
	"errors"
	"iter"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"github.com/earshot-mq/earshot/services"
	"github.com/earshot-mq/earshot/services/shop"
)

// Name is the service's name.
const Name = "reviews"

var (
	//go:embed reviews.json
	reviewsFile []byte
	//go:embed products.json
	productsFile []byte // the ids of what can be reviewed
)

// Review is what a customer says of a product.
type Review struct {
	ID       shop.ID   `json:"id" example:"r1001"`
	Product  shop.ID   `json:"product" example:"iphone-16-128"`
	Author   string    `json:"author" example:"Anna B."`
	Rating   int       `json:"rating" minimum:"1" maximum:"5" example:"5" doc:"Stars."`
	Title    string    `json:"title" example:"Still fast, better battery"`
	Text     string    `json:"text" example:"The battery gets me through a long day."`
	At       time.Time `json:"at" example:"2026-11-20T18:21:04Z"`
	Verified bool      `json:"verified" doc:"The customer has bought the product."`
}

func (r *Review) id() shop.ID { return r.ID }

// review is one as it is kept. Whose it is, is not told.
type review struct {
	Review
	Customer shop.ID `json:"customer"`
}

// New returns the service. It keeps its file in the folder that Router.Data names.
func New() *services.Service { return services.New(Name, routes) }

func routes(r *services.Router) {
	s := shop.Must(open(r.Data))
	huma.Register(r, shop.Get("reviews", "/reviews", "What customers say of a product", http.StatusUnprocessableEntity), s.reviews)
	huma.Register(r, huma.Operation{
		OperationID: "review", Method: http.MethodPost, Path: "/reviews", Summary: "Say something of a product",
		DefaultStatus: http.StatusCreated, MaxBodyBytes: 32 << 10, RejectUnknownQueryParameters: true,
		Errors: []int{http.StatusConflict, http.StatusInsufficientStorage},
	}, s.post)
}

// store has the reviews, those of the data and those that were posted. Its maps are
// guarded by log.
type store struct {
	log      *shop.Log[review]
	products []shop.ID
	of       map[shop.ID]*about
	by       map[[2]shop.ID]*Review // of a customer and a product
	count    int
}

// about is what was said of a product.
type about struct {
	reviews []*Review // the oldest first; what is there is never changed
	stars   [5]int    // how many have one star, two, up to five
}

func open(dir string) (s *store, err error) {
	s = &store{products: shop.Parse[[]shop.ID](productsFile), of: map[shop.ID]*about{}, by: map[[2]shop.ID]*Review{}}
	for _, r := range shop.Parse[[]review](reviewsFile) {
		s.apply(r)
	}
	s.log, err = shop.OpenLog(dir, "reviews.jsonl", s.apply)
	return s, err
}

func (s *store) apply(r review) {
	s.count++
	s.by[[2]shop.ID{r.Customer, r.Product}] = &r.Review
	a := s.of[r.Product]
	if a == nil {
		a = &about{}
		s.of[r.Product] = a
	}
	a.reviews = append(a.reviews, &r.Review)
	a.stars[r.Rating-1]++
}

type listInput struct {
	Product shop.ID `query:"product" required:"true" example:"iphone-16-128" doc:"The product."`
	After   shop.ID `query:"after" example:"r1001" doc:"Where to go on: next of the page before."`
	Limit   int     `query:"limit" default:"10" minimum:"1" maximum:"50" example:"10" doc:"How many at the most."`
}

type listOutput struct {
	Body struct {
		Product shop.ID   `json:"product" example:"iphone-16-128"`
		Count   int       `json:"count" example:"4" doc:"How many there are in all."`
		Average float64   `json:"average" minimum:"0" maximum:"5" example:"4.3" doc:"Mean of the stars, rounded to tenths, halves up; 0 without reviews."`
		Stars   [5]int    `json:"stars" example:"[0,0,1,1,2]" doc:"How many have one star, two, up to five."`
		Reviews []*Review `json:"reviews" nullable:"false" doc:"The newest first; empty if there is none."`
		Next    shop.ID   `json:"next,omitempty" example:"r1001" doc:"Give it as after for the next page; missing on the last."`
	}
}

func (s *store) reviews(_ context.Context, in *listInput) (out *listOutput, err error) {
	var a about
	err = s.log.View(func() {
		if found := s.of[in.Product]; found != nil {
			a = *found
		}
	})
	if err != nil {
		return nil, err
	}
	out = &listOutput{}
	out.Body.Product, out.Body.Count, out.Body.Stars, out.Body.Average = in.Product, len(a.reviews), a.stars, a.average()
	out.Body.Reviews, out.Body.Next, err = shop.Page(a.newest(), (*Review).id, in.After, in.Limit)
	return out, err
}

// average is the mean of the stars in tenths, computed with integers, halves up.
func (a *about) average() float64 {
	n, sum := len(a.reviews), 0
	for i, count := range a.stars {
		sum += (i + 1) * count
	}
	if n == 0 {
		return 0
	}
	return float64((20*sum+n)/(2*n)) / 10
}

// newest has the reviews, the newest first.
func (a *about) newest() iter.Seq[*Review] {
	return func(yield func(*Review) bool) {
		for _, r := range slices.Backward(a.reviews) {
			if !yield(r) {
				return
			}
		}
	}
}

type postInput struct {
	Body struct {
		Product  shop.ID `json:"product" example:"iphone-16-128" doc:"The product."`
		Customer shop.ID `json:"customer" example:"c1001" doc:"Who says it; it is kept and not told."`
		Author   string  `json:"author" minLength:"1" maxLength:"60" example:"Anna B." doc:"The name to be shown."`
		Rating   int     `json:"rating" minimum:"1" maximum:"5" example:"5" doc:"Stars."`
		Title    string  `json:"title" minLength:"1" maxLength:"120" example:"Still fast, better battery" doc:"One line."`
		Text     string  `json:"text" minLength:"1" maxLength:"4000" example:"The battery gets me through a long day." doc:"Lines of text."`
	}
}

type postOutput struct{ Body Review }

func (s *store) post(_ context.Context, in *postInput) (*postOutput, error) {
	b := &in.Body
	if err := cmp.Or(line("body.author", &b.Author, ""), line("body.title", &b.Title, ""), line("body.text", &b.Text, "\n\t")); err != nil {
		return nil, err
	}
	if !slices.Contains(s.products, b.Product) {
		return nil, shop.Invalid("body.product", "there is no such product")
	}
	var out postOutput
	err := s.log.Update(func() (*review, error) {
		if r := s.by[[2]shop.ID{b.Customer, b.Product}]; r != nil {
			if r.Author != b.Author || r.Rating != b.Rating || r.Title != b.Title || r.Text != b.Text {
				return nil, huma.Error409Conflict("the customer has reviewed this product already")
			}
			out.Body = *r
			return nil, nil
		}
		out.Body = Review{
			ID: shop.ID("r" + strconv.Itoa(1001+s.count)), Product: b.Product, Author: b.Author,
			Rating: b.Rating, Title: b.Title, Text: b.Text, At: time.Now().UTC().Truncate(time.Second),
		}
		return &review{out.Body, b.Customer}, nil
	})
	if errors.Is(err, shop.ErrFull) {
		return nil, huma.NewError(http.StatusInsufficientStorage, "no more reviews can be kept; the operator has to act", err)
	}
	return &out, err
}

// line takes the white space around a text away. A text without anything else is a
// problem, and so is one with a character that is not allowed and that changes where the
// text around it is shown, or was no UTF-8.
func line(location string, text *string, allowed string) error {
	*text = strings.TrimSpace(*text)
	for _, r := range *text {
		bad := unicode.IsControl(r) || r == utf8.RuneError || unicode.In(r, unicode.Zl, unicode.Zp, unicode.Bidi_Control)
		if bad && !strings.ContainsRune(allowed, r) {
			return shop.Invalid(location, "has a character that can't be shown: "+strconv.QuoteRuneToASCII(r))
		}
	}
	if *text == "" {
		return shop.Invalid(location, "has nothing but white space")
	}
	return nil
}
