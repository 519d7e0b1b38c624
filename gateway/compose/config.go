package compose

import (
	"time"

	"github.com/earshot-mq/earshot/internal/config"
)

// Defaults of a Config.
const (
	DefaultTimeout  = 2 * time.Second
	DefaultPartSize = 1 << 20 // bytes of one part's answer
	DefaultPageSize = 4 << 20 // bytes of the page
)

// Limits that nobody has asked to change. A part's answer is refused when it is not valid
// JSON in UTF-8, is nested deeper than MaxDepth, or has an object with the same name
// twice: two readers would see two values.
const (
	MaxDepth = 64
	MaxParts = 32       // of a composition
	MaxSize  = 64 << 20 // bytes of a part's answer, or of a page
	maxValue = 2048     // bytes of a value that goes into a path or a query
)

// missingName is the member of a page that says what is missing.
const missingName = "missing"

// Config is one composition as the gateway's file has it.
type Config struct {
	// Timeout is for the whole page. Default 2 s.
	Timeout time.Duration `yaml:"timeout"`
	// MaxBytes is how long a page may be. Default 4 MiB.
	MaxBytes config.Size `yaml:"max-bytes"`
	// Headers are the fields of the client's request that every part gets. Default none.
	Headers []string          `yaml:"headers"`
	Parts   []PartConfig      `yaml:"parts"`
	Views   map[string][]Pick `yaml:"views"`
}

// PartConfig is one request to one upstream.
type PartConfig struct {
	Name     string `yaml:"name"`
	Upstream string `yaml:"upstream"`
	// Path is where the upstream is asked: /merchants/{part.product.merchant_id}, with
	// {id} from the route's path, {query.customer} from the client's query and
	// {part.NAME.MEMBER} from the answer of another part. {query.lang|part.user.lang|'en'}
	// is the first of them that is there.
	Path string `yaml:"path"`
	// Required says that there is no page without this part.
	Required bool `yaml:"required"`
	// When is query.NAME: the part is asked only when the client's query has NAME.
	When string `yaml:"when"`
	// Timeout counts from when this part is asked. Default the page's.
	Timeout time.Duration `yaml:"timeout"`
	// MaxBytes is how long its answer may be. Default 1 MiB.
	MaxBytes config.Size `yaml:"max-bytes"`
	// Headers are fields that this part gets beside the composition's.
	Headers []string `yaml:"headers"`
}

// Pick is one member of a view, or of an object in it. As text it is Take alone.
type Pick struct {
	// Take is a part, or a value in it: pricing, pricing.price.amount, reviews.latest.0.
	// Inside another Pick it begins at the members of that value.
	Take string `yaml:"take"`
	// As is the member's name. Default the last word of Take.
	As string `yaml:"as"`
	// Pick lets only these members of the value through, in this order; of a list, of
	// each object in it. Default the whole value.
	Pick []Pick `yaml:"pick"`
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *Pick) UnmarshalText(b []byte) error {
	p.Take = string(b)
	return nil
}
