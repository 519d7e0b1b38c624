package config

import "slices"

// The commands that have settings.
var (
	roles       = []string{"up", "gateway", "service", "subscriber"}
	publishers  = []string{"up", "gateway", "service"}
	subscribers = []string{"up", "subscriber"}
	clients     = []string{"tail", "cursors", "healthcheck"}
)

func and(a []string, more ...string) []string { return slices.Concat(a, more) }

// Settings is the table of all settings: what the flags, the variables, the keys of the
// file and the reference are made of. What a setting means is told here and nowhere
// else.
func Settings() []Setting {
	return slices.Concat(
		group("General", generalSettings()),
		group("HTTP", httpSettings()),
		group("Records", recordSettings()),
		group("Redaction", redactSettings()),
		group("Journal", journalSettings()),
		group("Feeds", feedSettings()),
		group("Subscriber", subscriberSettings()),
		group("Store", storeSettings()),
		group("Admin", adminSettings()),
		group("Docker", dockerSettings()),
		group("Drill", drillSettings()),
	)
}

func group(title string, all []Setting) []Setting {
	for i := range all {
		all[i].Group = title
	}
	return all
}

func generalSettings() []Setting {
	return []Setting{
		{
			Name: configName, Arg: "FILE", Outside: true, Commands: and(roles, and(clients, "adopt", "doctor", "redact", "explain", "docker-agent")...),
			Help: "YAML file with settings, and with the gateway's routes and upstreams.",
			More: "Without it nothing is read from a file. SIGHUP makes `gateway` and `up` [read it again](gateway.md#reading-the-file-again).",
		},
		{
			Name: "data", Arg: "DIR", Default: "data", Commands: and(roles, "doctor"),
			Help: "Folder of the journals, the store, the log file and what services keep; made if it is not there.",
		},
		{
			Name: "log.level", Default: "info", Choices: []string{"error", "warn", "info", "debug"}, Commands: and(roles, "adopt", "docker-agent"),
			Help: "Least severity of Earshot's own messages on standard error.",
		},
		{
			Name: "log.format", Default: "auto", Choices: []string{"auto", "text", "json"}, Commands: and(roles, "adopt", "docker-agent"),
			Help: "Form of Earshot's own messages.",
			More: "`auto` is text, coloured on a terminal unless `NO_COLOR` is set.",
		},
	}
}

func httpSettings() []Setting {
	return []Setting{
		{
			Name: "http.listen", Arg: "HOST:PORT", Default: "127.0.0.1:5000", Check: address, Commands: and(publishers, "doctor"),
			Defaults: map[string]string{"service": "127.0.0.1:8080"},
			Help:     "Address on which requests are answered.",
			More:     "An empty host is every address, IPv4 and IPv6.",
		},
		{
			Name: "port", Kind: Int, Default: "0", Min: "0", Max: "65535", Commands: and(publishers, "doctor"),
			Help: "Port of http.listen, for short; 0 leaves it as it is.",
		},
		{
			Name: "services", Kind: List, Arg: "NAMES", Default: "downcase,wordcount", Check: name, None: true, Commands: []string{"up"},
			Help: "Built-in services to run behind the gateway; none is none.",
		},
		{
			Name: "trusted", Kind: Networks, Commands: publishers,
			Help: "Networks of proxies whose forwarding headers and request ids are believed.",
			More: "Addresses and networks: `10.0.0.0/8,192.0.2.7,fd00::/8`.",
		},
	}
}

func recordSettings() []Setting {
	return []Setting{
		{
			Name: "record.wait", Kind: Duration, Default: "1s", Min: "1ms", Max: "1m", Commands: publishers,
			Help: "How long the end of an answer waits for a disk that hangs.",
			More: "After it the answer leaves, its record is held in memory and counted.",
		},
		{
			Name: "record.body", Kind: Bytes, Default: "64KiB", Min: "1", Max: "64KiB", Commands: publishers,
			Help: "How much of a body a record has; a longer one is cut and marked.",
		},
		{
			Name: "record.client", Default: "full", Choices: []string{"full", "prefix", "hmac", "none"}, Commands: publishers,
			Help: "How a record has the client's address.",
			More: "`prefix` is the /24 or /48 network, `hmac` a pseudonym made with `record.hmac-key`.",
		},
		{
			Name: "record.hmac-key", Secret: true, Check: secretOf(16), Commands: publishers,
			Help: "Key of the pseudonyms of record.client hmac, at least 16 bytes.",
		},
		{
			Name: "record.expose", Kind: Bool, Default: "false", Commands: []string{"up", "gateway"},
			Help: "Leave the header field Earshot-Record, which names the record, on the gateway's answers.",
		},
	}
}

func redactSettings() []Setting {
	commands := and(publishers, "redact")
	return []Setting{
		{
			Name: "redact.query", Kind: List, Arg: "KEYS", Commands: commands,
			Help: "Keys of queries and forms whose values are taken out, beside the built-in ones.",
			More: "Case does not count. The built-in keys are those of tokens, passwords, signatures and sessions.",
		},
		{
			Name: "redact.json", Kind: List, Arg: "PATHS", Commands: commands,
			Help: "Paths of values that are taken out of JSON, such as $.user.password, $..token or $.cards[*].number.",
		},
		{
			Name: "redact.pattern", Kind: Lines, Arg: "REGEXP", Check: pattern, Commands: commands,
			Help: "Regular expressions whose groups are taken out of text, or the whole match if there is none.",
			More: "In Go's syntax. The flag takes one and can be repeated; the variable has one on each line.",
		},
	}
}

func journalSettings() []Setting {
	return []Setting{
		{
			Name: "journal.sync", Default: "interval", Choices: []string{"interval", "always", "never"}, Commands: publishers,
			Help: "When the journal is written through to the disk.",
			More: "It is about power cuts alone: after the death of a process nothing is missing. `interval` may lose `journal.sync-interval` and the write then running, `always` nothing, `never` what the kernel still held.",
		},
		{
			Name: "journal.sync-interval", Kind: Duration, Default: "100ms", Min: "1ms", Max: "1m", Commands: publishers,
			Help: "Time between two writes through with journal.sync interval.",
		},
		{
			Name: "journal.max-bytes", Kind: Bytes, Default: "0", Commands: and(publishers, "doctor"),
			Help: "Bound of all journals of the process on disk; 0 is a tenth of the file system, from 256MiB to 16GiB.",
		},
		{
			Name: "journal.max-age", Kind: Duration, Default: "0s", Min: "0s", Commands: publishers,
			Help: "How old a record in the journal may become; 0s is no bound.",
		},
		{
			Name: "journal.policy", Default: "drop-oldest", Choices: []string{"drop-oldest", "refuse", "block"}, Commands: publishers,
			Help: "What happens when the journal is past its bound.",
			More: "`drop-oldest` drops and counts; `refuse` answers requests with 503, `block` lets them wait up to 5 s, both until the stores of `journal.required` have committed.",
		},
		{
			Name: "journal.required", Kind: List, Arg: "NAMES", Check: name, Commands: publishers,
			Help: "Names of the stores for which journal.policy refuse and block keep records.",
		},
	}
}

// noHub is the default of the feeds of a subscriber: on one machine the ports are those
// of a publisher, and who wants a hub says where.
var noHub = map[string]string{"subscriber": "none"}

func feedSettings() []Setting {
	return []Setting{
		{
			Name: "feed.text", Arg: "ENDPOINT", Default: "tcp://127.0.0.1:4444", Check: binding, None: true, Commands: and(roles, "doctor"), Defaults: noHub,
			Help: "Endpoint of the text feed: one frame for each answer, its text; none is no text feed.",
		},
		{
			Name: "feed.record", Arg: "ENDPOINT", Default: "tcp://127.0.0.1:4445", Check: binding, None: true, Commands: and(roles, "adopt", "doctor"), Defaults: noHub,
			Help: "Endpoint of the record feed, which subscribers follow; none is no record feed.",
			More: "A subscriber that has feeds is a hub: it publishes again what it has stored, under the same numbers.",
		},
		{
			Name: "feed.replay", Arg: "ENDPOINT", Default: "tcp://127.0.0.1:4446", Check: binding, None: true, Commands: and(roles, "adopt", "doctor"), Defaults: noHub,
			Help: "Endpoint of replay, where subscribers fetch what they missed; none is no replay.",
		},
		{
			Name: "feed.peers", Kind: Int, Default: "20", Min: "1", Max: "1000", Commands: and(roles, "adopt"),
			Help: "How many subscribers the memory of the record feed is shared out to.",
		},
		{
			Name: "feed.advertise", Arg: "ENDPOINT", Alias: "advertise", Check: endpoint, Commands: subscribers,
			Help: "Endpoint of the publisher's replay, if it is not the feed's host with the port that the feed names.",
		},
	}
}

func subscriberSettings() []Setting {
	return []Setting{
		{
			Name: "subscriber.connect", Kind: List, Arg: "ENDPOINTS", Alias: "connect", Default: "tcp://127.0.0.1:4445", Check: endpoint, None: true,
			Commands: subscribers, Defaults: map[string]string{"up": "none"},
			Help: "Record feeds to follow; none is none.",
			More: "`up` follows its own beside them.",
		},
		{
			Name: "subscriber.plain", Kind: List, Arg: "ENDPOINTS", Alias: "plain", Check: endpoint, Commands: subscribers,
			Help: "PUB sockets of other programs to log, whatever they send: at most once.",
		},
		{
			Name: "subscriber.name", Alias: "name", Check: name, Arg: "NAME", Commands: subscribers,
			Help: "Name of the store, for people; the default is its id.",
		},
		{
			Name: "subscriber.topics", Kind: List, Alias: "topics", Arg: "SERVICES", Check: name, Commands: subscribers,
			Help: "Services to follow; the default is all.",
		},
		{
			Name: "subscriber.from", Alias: "from", Default: "oldest", Choices: []string{"oldest", "now"}, Commands: subscribers,
			Help: "Where a stream begins that the store has never heard of.",
		},
		{
			Name: "subscriber.log", Arg: "FILE", Commands: subscribers,
			Help: "Log file with a line for each record; the default is logs/subscriber.log in data.",
		},
		{
			Name: "subscriber.format", Alias: "format", Arg: "FORMAT", Default: "text", Check: format, Commands: subscribers,
			Help: "Form of a line of the log file: text, message, json, logfmt or template=….",
			More: "`message` is the classic line, the body and the local time. A template is Go's: `template={{.Service}} {{.Body}}`.",
		},
		{
			Name: "subscriber.tz", Alias: "tz", Arg: "ZONE", Check: zone, Commands: and(subscribers, "tail"),
			Help: "Time zone of the times that are shown; the default is UTC, and local time for the format message.",
		},
		{
			Name: "subscriber.rotate-bytes", Kind: Bytes, Default: "64MiB", Min: "1", Commands: subscribers,
			Help: "Size at which the log file is left for a new one.",
		},
		{
			Name: "subscriber.rotate-every", Kind: Duration, Default: "24h", Min: "1s", Commands: subscribers,
			Help: "Age at which the log file is left for a new one.",
		},
		{
			Name: "subscriber.keep", Kind: Int, Default: "14", Min: "1", Max: "100000", Commands: subscribers,
			Help: "How many log files that were left are kept.",
		},
		{
			Name: "subscriber.free-floor", Kind: Int, Arg: "PERCENT", Default: "5", Min: "1", Max: "90", Commands: subscribers,
			Help: "Percent of the file system that the log file leaves free for the store; below it log files that were left are removed, then it pauses.",
		},
	}
}

func storeSettings() []Setting {
	return []Setting{
		{
			Name: "store.max-bytes", Kind: Bytes, Default: "0", Commands: and(subscribers, "doctor"),
			Help: "Bound of the store on disk; 0 is half of the file system.",
		},
		{
			Name: "store.max-age", Kind: Duration, Default: "0s", Min: "0s", Commands: subscribers,
			Help: "How old a record in the store may become; 0s is no bound.",
		},
	}
}

func adminSettings() []Setting {
	return []Setting{
		{
			Name: "admin.listen", Arg: "HOST:PORT", Default: "127.0.0.1:5001", Check: address, Commands: and(roles, and(clients, "adopt", "doctor")...),
			Help: "Address of health, metrics and admin; of a client, where it asks.",
			More: "What is not loopback needs `admin.token` or `admin.private`.",
		},
		{
			Name: "admin.token", Secret: true, Check: secretOf(16), Commands: and(roles, and(clients, "adopt", "doctor")...),
			Help: "Token that each request but those for /livez and /readyz has to bring, at least 16 bytes.",
		},
		{
			Name: "admin.private", Kind: Bool, Default: "false", Commands: and(roles, "adopt", "docker-agent"),
			Help: "The network of admin.listen, or of agent.listen, is private, as a container's is; no token is needed.",
		},
	}
}

func dockerSettings() []Setting {
	askers := []string{"up", "gateway", "subscriber", "explain"}
	agent := []string{"docker-agent"}
	return []Setting{
		{
			Name: "discover.docker.agent", Arg: "URL", Check: agentURL, None: true, Commands: askers,
			Help: "Docker agent whose containers' labels say further routes and publishers: http://HOST:PORT; none by default.",
			More: "See [discovery.md](discovery.md).",
		},
		{
			Name: "discover.docker.network", Arg: "NAME", Commands: askers,
			Help: "Network in which the gateway and the subscriber reach those containers, by its name or Compose's; by default each is in one only.",
		},
		{
			Name: "agent.listen", Arg: "HOST:PORT", Default: "127.0.0.1:5002", Check: address, Commands: agent,
			Help: "Address on which the agent tells of containers, and of its health.",
			More: "What is not loopback needs `admin.private`.",
		},
		{
			Name: "agent.socket", Arg: "FILE", Default: "/var/run/docker.sock", Commands: agent,
			Help: "Socket of the Docker Engine.",
		},
	}
}

func drillSettings() []Setting {
	drill := []string{"drill"}
	return []Setting{
		{
			Name: "drill.for", Alias: "for", Kind: Duration, Default: "30s", Min: "1s", Max: "30d", Outside: true, Commands: drill,
			Help: "How long faults go on; what is under way then is ended and judged.",
		},
		{
			Name: "drill.seed", Alias: "seed", Kind: Int, Default: "0", Min: "0", Outside: true, Commands: drill,
			Help: "Seed of the sequence of faults, to have the same again; 0 is one of chance, and it is printed.",
		},
		{
			Name: "drill.faults", Alias: "faults", Kind: List, Arg: "NAMES", Check: name, Outside: true, Commands: drill,
			Help: "Faults to choose from; the default is all.",
		},
		{
			Name: "drill.keep", Alias: "keep", Kind: Bool, Default: "false", Outside: true, Commands: drill,
			Help: "Keep the folder of the drill, as is done where it fails.",
		},
	}
}
