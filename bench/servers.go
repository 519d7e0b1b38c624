package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// missing says that a server is not there, and which package has it.
type missing struct{ what, why string }

func (m *missing) Error() string { return fmt.Sprintf("SKIPPED: %s: %s", m.what, m.why) }

// server is a peer's process.
type server struct{ cmd *exec.Cmd }

// serve starts a server in the run's folder, with what it says in a file there, and waits
// until something listens at addr; an empty one is not waited for.
func (b *bench) serve(ctx context.Context, addr, program string, args ...string) (*server, error) {
	name := filepath.Base(program)
	said, err := os.Create(b.path(name + ".said"))
	if err != nil {
		return nil, err
	}
	defer said.Close()
	s := &server{exec.CommandContext(ctx, program, args...)}
	s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr = b.folder(), said, said
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	for end := time.Now().Add(20 * time.Second); addr != ""; time.Sleep(10 * time.Millisecond) {
		if conn, err := net.Dial("tcp", addr); err == nil {
			return s, conn.Close()
		}
		if time.Now().After(end) || syscall.Kill(s.cmd.Process.Pid, 0) != nil {
			text, _ := os.ReadFile(said.Name()) // then there is nothing to be told
			return s, fmt.Errorf("%s does not listen at %s:\n%s", name, addr, text)
		}
	}
	return s, nil
}

// stopAll ends servers; that they were killed is no error.
func stopAll(servers []*server) (err error) {
	for _, s := range servers {
		if e := s.cmd.Process.Kill(); e != nil {
			err = errors.Join(err, e)
		}
		_ = s.cmd.Wait() // an error it has: it was killed
	}
	return err
}

// installed is a server of the system's packages.
func installed(program, pkg string) (string, error) {
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/sbin") {
		if path, err := exec.LookPath(filepath.Join(dir, program)); err == nil {
			return path, nil
		}
	}
	return "", &missing{program, "install the package " + pkg}
}

// goServer is a server that is built from its Go module, once, into the user's cache
// folder. It is built as its own go.mod wants it, replaced modules too.
func goServer(ctx context.Context, module, version, pkg string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	program := filepath.Join(cache, "earshot-bench", filepath.Base(pkg)+"-"+version)
	if pkg == "." {
		program = filepath.Join(cache, "earshot-bench", filepath.Base(filepath.Dir(module))+"-"+version)
	}
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	progress("building " + filepath.Base(program))
	get := exec.CommandContext(ctx, "go", "mod", "download", "-json", module+"@"+version)
	get.Dir = os.TempDir()
	out, err := get.Output()
	var got struct{ Dir, Error string }
	if e := json.Unmarshal(out, &got); e != nil || got.Dir == "" {
		return "", &missing{module + " " + version, strings.TrimSpace(fmt.Sprint(got.Error, " ", errors.Join(err, e)))}
	}
	if err := command(ctx, "go", "build", "-C", got.Dir, "-buildvcs=false", "-o", program, pkg); err != nil {
		return "", &missing{module + " " + version, err.Error()}
	}
	return program, nil
}

// natsServer has its limits lifted; what it stores is in the run's folder.
func natsServer(ctx context.Context, b *bench, addr string) ([]*server, error) {
	program, err := goServer(ctx, "github.com/nats-io/nats-server/v2", "v2.15.2", ".")
	if err != nil {
		return nil, err
	}
	conf := fmt.Sprintf("listen: %q\nmax_pending: 1GB\nwrite_deadline: \"60s\"\njetstream { store_dir: %q }\n", addr, b.path("jetstream"))
	return b.one(ctx, addr, "nats.conf", conf, program, "-c")
}

func redisServer(ctx context.Context, b *bench, addr string) ([]*server, error) {
	program, err := installed("redis-server", "redis-server")
	if err != nil {
		return nil, err
	}
	host, port, _ := net.SplitHostPort(addr)
	conf := fmt.Sprintf("bind %s\nport %s\ndir %s\nappendonly yes\nappendfsync everysec\nsave \"\"\nauto-aof-rewrite-percentage 0\n"+
		"client-output-buffer-limit normal 0 0 0\n", host, port, b.folder())
	return b.one(ctx, addr, "redis.conf", conf, program)
}

// nsqServers is nsqd and nsq_to_file, which has as much in flight as nsqd holds.
func nsqServers(ctx context.Context, b *bench, addr string) ([]*server, error) {
	const module, version = "github.com/nsqio/nsq", "v1.3.0"
	nsqd, err := goServer(ctx, module, version, "./apps/nsqd")
	if err != nil {
		return nil, err
	}
	toFile, err := goServer(ctx, module, version, "./apps/nsq_to_file")
	if err != nil {
		return nil, err
	}
	d, err := b.serve(ctx, addr, nsqd, "-tcp-address", addr, "-http-address", "127.0.0.1:0", "-data-path", b.folder(), "-log-level", "error")
	if err != nil {
		return all(d), err
	}
	f, err := b.serve(ctx, "", toFile, "-nsqd-tcp-address", addr, "-topic", "records", "-channel", "file", "-output-dir", b.folder(),
		"-filename-format", strings.TrimSuffix(outFile, ".log")+"<REV>.log", "-max-in-flight", "2500", "-log-level", "error")
	return all(d, f), err
}

// one starts a server that takes a file with its configuration.
func (b *bench) one(ctx context.Context, addr, name, conf, program string, args ...string) ([]*server, error) {
	if err := os.WriteFile(b.path(name), []byte(conf), 0o600); err != nil {
		return nil, err
	}
	s, err := b.serve(ctx, addr, program, append(args, b.path(name))...)
	return all(s), err
}

func all(servers ...*server) (some []*server) {
	for _, s := range servers {
		if s != nil {
			some = append(some, s)
		}
	}
	return some
}

// rsyslogMode is one of three ways to run it. All write the message as it came.
type rsyslogMode struct{ input, queue, file string }

var (
	rsyslogDefault = rsyslogMode{input: "imtcp"}
	rsyslogFast    = rsyslogMode{
		input: "imptcp", queue: `queue.type="FixedArray" queue.size="200000" queue.dequeuebatchsize="8192"`, file: `ioBufferSize="256k"`,
	}
	rsyslogDisk = rsyslogMode{
		input: "imptcp", queue: `queue.type="Disk" queue.filename="q" queue.maxfilesize="64m" queue.checkpointinterval="1000" queue.dequeuebatchsize="8192"`,
		file: `ioBufferSize="256k" sync="on"`,
	}
)

func rsyslog(m rsyslogMode) func(context.Context, *bench, string) ([]*server, error) {
	return func(ctx context.Context, b *bench, addr string) ([]*server, error) {
		program, err := installed("rsyslogd", "rsyslog")
		if err != nil {
			return nil, err
		}
		host, port, _ := net.SplitHostPort(addr)
		conf := fmt.Sprintf(`global(workDirectory=%q maxMessageSize="64k")
module(load=%q)
template(name="line" type="string" string="%%rawmsg%%\n")
ruleset(name="records" %s) { action(type="omfile" template="line" file=%q %s) }
input(type=%q address=%q port=%q ruleset="records")
`, b.folder(), m.input, m.queue, b.path(outFile), m.file, m.input, host, port)
		return b.one(ctx, addr, "rsyslog.conf", conf, program, "-n", "-i", b.path("rsyslog.pid"), "-f")
	}
}
