// Package setup makes a publisher's options of what people have set.
package setup

import (
	"path/filepath"

	"github.com/earshot-mq/earshot/internal/config"
	"github.com/earshot-mq/earshot/internal/journal"
	"github.com/earshot-mq/earshot/publisher"
)

var (
	syncs = map[string]journal.SyncPolicy{
		"interval": journal.SyncInterval, "always": journal.SyncAlways, "never": journal.SyncNever,
	}
	policies = map[string]publisher.Policy{
		"drop-oldest": publisher.DropOldest, "refuse": publisher.Refuse, "block": publisher.Block,
	}
)

// Publisher is the options of the publisher of a role, or of a service.
func Publisher(v *config.Values, role string) publisher.Options {
	return publisher.Options{
		Dir:       filepath.Join(v.String("data"), "journals", role),
		Text:      v.String("feed.text"),
		Record:    v.String("feed.record"),
		Replay:    v.String("feed.replay"),
		Peers:     v.Int("feed.peers"),
		Sync:      syncs[v.String("journal.sync")],
		SyncEvery: v.Duration("journal.sync-interval"),
		Wait:      v.Duration("record.wait"),
		MaxBytes:  v.Size("journal.max-bytes"),
		MaxAge:    v.Duration("journal.max-age"),
		Policy:    policies[v.String("journal.policy")],
		Required:  v.Strings("journal.required"),
	}
}

// Recorder is the options of a recorder, whose Trusted are those of the setting trusted.
func Recorder(v *config.Values) (publisher.RecorderOptions, error) {
	redactor, err := Redactor(v)
	return publisher.RecorderOptions{
		Redactor: redactor,
		Trusted:  v.Prefixes("trusted"),
		Client:   publisher.ClientForm(v.String("record.client")),
		HMACKey:  []byte(v.String("record.hmac-key")),
		MaxBody:  int(v.Size("record.body")),
	}, err
}

// Redactor is what takes out of records what people want to have out.
func Redactor(v *config.Values) (*publisher.Redactor, error) {
	return publisher.NewRedactor(publisher.RedactorOptions{
		QueryKeys: v.Strings("redact.query"),
		JSONPaths: v.Strings("redact.json"),
		Patterns:  v.Strings("redact.pattern"),
	})
}
