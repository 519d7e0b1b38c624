package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/earshot-mq/earshot/deploy"
	"github.com/earshot-mq/earshot/internal/testenv"
	"github.com/earshot-mq/earshot/internal/zmq"
)

const (
	root     = ".." // the folder of Dockerfile and docker-compose.yml
	maxImage = 140 << 20
)

// TestDocker builds the image once and uses it in every form that the README names.
// Only where no Engine answers it is skipped, whatever else may be required.
func TestDocker(t *testing.T) {
	if testing.Short() {
		testenv.Skip(t, "the container tests: they take a while")
	}
	e := engine(t)
	dir := snapshot(t)
	tag := buildImage(t, e, dir)
	t.Run("docker-compose builds the same", func(t *testing.T) { composeBuilds(t, e, dir, tag, testenv.Need(t, "docker-compose")) })
	t.Run("classic form", func(t *testing.T) { t.Parallel(); classicForm(t, e, tag) })
	t.Run("docker-compose", func(t *testing.T) {
		t.Parallel()
		compose(t, e, tag, testenv.Need(t, "docker-compose"))
	})
	t.Run("labels", func(t *testing.T) {
		t.Parallel()
		composeLabels(t, e, tag, testenv.Need(t, "docker-compose"))
	})
	t.Run("docker compose", func(t *testing.T) {
		t.Parallel()
		if out, err := combined(t, 20*time.Second, nil, "docker", "compose", "version"); err != nil {
			testenv.Missing(t, fmt.Sprintf("docker compose (v2) not found: %v %s", err, bytes.TrimSpace(out)))
		}
		compose(t, e, tag, "docker", "compose")
	})
}

// engine connects to the Engine or skips the test.
func engine(t *testing.T) *deploy.Engine {
	t.Helper()
	e, err := deploy.Open(within(t, 20*time.Second))
	if errors.Is(err, deploy.ErrNoEngine) {
		testenv.Skip(t, fmt.Sprintf("no Docker Engine: %v", err))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// within is a context that ends after d, or when the test has.
func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// snapshot copies what the builder is sent, so that all build the same, also while
// somebody is working.
func snapshot(t *testing.T) (dir string) {
	t.Helper()
	var b bytes.Buffer
	dir = t.TempDir()
	if err := deploy.Pack(&b, root, "Dockerfile"); err != nil {
		t.Fatal(err)
	}
	if err := deploy.Unpack(&b, dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// buildImage builds the image under a name of this run, and judges it.
func buildImage(t *testing.T, e *deploy.Engine, dir string) (tag string) {
	t.Helper()
	bases(t, e)
	tag = fmt.Sprintf("earshot-e2e:%08x", rand.Uint32())
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		// The stages of the last hour stay: they are the cache of the next run.
		err := errors.Join(e.RemoveImage(ctx, tag), e.PruneImages(ctx, map[string]string{"earshot.stage": "build"}, time.Hour))
		if err != nil {
			t.Error(err)
		}
	})
	var log bytes.Buffer
	began := time.Now()
	id, err := e.Build(within(t, 8*time.Minute), dir, deploy.BuildOptions{Tag: tag, Args: map[string]string{"VERSION": "e2e"}, Log: &log})
	if err != nil {
		t.Fatalf("%v\n%s", err, &log)
	}
	img, err := e.Image(t.Context(), tag)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("built in %v: %.1f MB", time.Since(began).Round(time.Second), float64(img.Bytes)/1e6)
	if img.ID != id {
		t.Errorf("%s is %s, the builder said %s", tag, img.ID, id)
	}
	if img.Bytes > maxImage {
		t.Errorf("the image has %d bytes, want at most %d", img.Bytes, maxImage)
	}
	if !regexp.MustCompile(`^[1-9][0-9]*:[1-9][0-9]*$`).MatchString(img.User) {
		t.Errorf("the image's user is %q, want a number that is not root's", img.User)
	}
	if got := img.Labels["org.opencontainers.image.version"]; got != "e2e" {
		t.Errorf("the image's version is %q, want e2e", got)
	}
	return tag
}

// bases makes sure that the images which the Dockerfile begins with are there.
func bases(t *testing.T, e *deploy.Engine) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^FROM (\S+)`).FindAllSubmatch(text, -1)
	if len(found) != 2 {
		t.Fatalf("the Dockerfile has %d stages, want 2", len(found))
	}
	for _, m := range found {
		ref := string(m[1])
		_, err := e.Image(t.Context(), ref)
		if errors.Is(err, deploy.ErrNotFound) {
			if err := e.Pull(within(t, 5*time.Minute), ref); err != nil {
				testenv.Missing(t, fmt.Sprintf("the base image %s is not there and can't be pulled (%v)", ref, err))
			}
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// classicForm is one container with everything in it.
func classicForm(t *testing.T, e *deploy.Engine, tag string) {
	ctx := within(t, 2*time.Minute)
	id, err := e.Run(ctx, deploy.Spec{Image: tag, Publish: []string{"127.0.0.1::5000", "127.0.0.1::4444"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeContainer(t, e, id) })
	at, err := e.Inspect(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	web, _ := at.Published("5000/tcp")
	text, _ := at.Published("4444/tcp")

	testenv.Wait(t, "an answer", 30*time.Second, func() bool {
		body, err := get("http://" + web + "/downcase/?param=HELLO")
		return err == nil && body == "lower case of HELLO is hello"
	})
	hears(t, "tcp://"+text, "http://"+web+"/downcase/?param=FRAME", "lower case of FRAME is frame")
	line := regexp.MustCompile(`(?m)^\d{4}-\d\d-\d\dT[0-9:.]+Z downcase 200 GET /downcase/ [0-9.]+s lower case of HELLO is hello$`)
	testenv.Wait(t, "the line in subscriber.log", 20*time.Second, func() bool {
		log, err := e.Exec(ctx, id, "cat", "/data/logs/subscriber.log")
		return err == nil && line.Match(log)
	})
	if out, err := e.Exec(ctx, id, "earshot", "version"); err != nil || !bytes.HasPrefix(out, []byte("earshot e2e,")) {
		t.Errorf("earshot version: %q, %v", out, err)
	}
	if err := e.WaitHealthy(ctx, id); err != nil {
		t.Error(err)
	}
	if err := e.Stop(ctx, id, 20*time.Second); err != nil {
		t.Fatal(err)
	}
	if at, err := e.Inspect(ctx, id); err != nil || at.State != "exited" || at.Exit != 0 {
		t.Errorf("after stop: %s, exit code %d, %v", at.State, at.Exit, err)
	}
}

// removeContainer removes a container, and shows what it said if the test failed.
func removeContainer(t *testing.T, e *deploy.Engine, id string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if t.Failed() {
		var log bytes.Buffer
		if err := e.Logs(ctx, id, &log, &log); err != nil {
			t.Log(err)
		}
		t.Logf("the container printed:\n%s", &log)
	}
	if err := e.Remove(ctx, id); err != nil {
		t.Error(err)
	}
}

// hears asks for url until a classic client has got frame: the first answers may leave
// before its subscription has arrived.
func hears(t *testing.T, feed, url, frame string) {
	t.Helper()
	sub, err := zmqContext(t).Sub(zmq.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	if err := errors.Join(sub.Connect(feed), sub.Subscribe("")); err != nil {
		t.Fatal(err)
	}
	testenv.Wait(t, "a frame on "+feed, 30*time.Second, func() bool {
		if _, err := get(url); err != nil {
			return false
		}
		for {
			got, err := sub.Recv()
			if err != nil {
				return false
			}
			if len(got) == 1 && string(got[0]) == frame {
				return true
			}
		}
	})
}

// get asks for url and wants a whole 200.
func get(url string) (body string, err error) {
	client := &http.Client{Timeout: 5 * time.Second}
	resp, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK {
		err = errors.Join(err, errors.New(resp.Status))
	}
	return strings.TrimSpace(string(b)), err
}
