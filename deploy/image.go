package deploy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/docker/docker/api/types/build"
	"github.com/docker/docker/api/types/image"
)

// Image is what the Engine has of an image.
type Image struct {
	ID     string
	Bytes  int64 // of all its layers
	User   string
	Labels map[string]string
}

// BuildOptions tunes Build. Every zero field means its default.
type BuildOptions struct {
	Tag        string            // name of the image; default none
	Dockerfile string            // path in the folder; default Dockerfile
	Args       map[string]string // of the Dockerfile's ARGs
	Labels     map[string]string // of the image
	Log        io.Writer         // what the builder prints; default nowhere
}

// Build builds the Dockerfile of a folder with the Engine's classic builder, which
// needs nothing but the Engine, and returns the image's id. What .dockerignore names is
// not sent.
func (e *Engine) Build(ctx context.Context, dir string, o BuildOptions) (id string, err error) {
	if o.Dockerfile == "" {
		o.Dockerfile = "Dockerfile"
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	args := map[string]*string{}
	for k, v := range o.Args {
		args[k] = &v
	}
	r, w := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		err := Pack(w, dir, o.Dockerfile)
		_ = w.CloseWithError(err) // always nil
		packed <- err
	}()
	id, err = e.build(ctx, r, o, args)
	_ = r.Close() // always nil; ends Pack where the Engine did not want all of it
	if perr := <-packed; perr != nil && !errors.Is(perr, io.ErrClosedPipe) {
		err = perr
	}
	return id, failed("build", dir, err)
}

func (e *Engine) build(ctx context.Context, tar io.Reader, o BuildOptions, args map[string]*string) (id string, err error) {
	opts := build.ImageBuildOptions{
		Dockerfile: o.Dockerfile, BuildArgs: args, Labels: o.Labels, Version: build.BuilderV1,
		Remove: true, ForceRemove: true, // of the containers in between
	}
	if o.Tag != "" {
		opts.Tags = []string{o.Tag}
	}
	resp, err := e.c.ImageBuild(ctx, tar, opts)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if id, err = progress(resp.Body, o.Log); err == nil && id == "" {
		err = errors.New("the builder named no image")
	}
	return id, err
}

// progress reads what the Engine tells of a build or a pull until its end, copies the
// text to log and returns the image's id, if it is told. The Engine reports failure
// there, after a status of 200.
func progress(r io.Reader, log io.Writer) (id string, err error) {
	dec := json.NewDecoder(r)
	for {
		var line struct {
			Stream string
			Error  string
			Aux    struct{ ID string }
		}
		switch err := dec.Decode(&line); {
		case errors.Is(err, io.EOF):
			return id, nil
		case err != nil:
			return id, fmt.Errorf("progress: %w", err)
		case line.Error != "":
			return id, errors.New(line.Error)
		}
		if line.Aux.ID != "" {
			id = line.Aux.ID
		}
		if _, err := io.WriteString(log, line.Stream); err != nil {
			return id, fmt.Errorf("progress: %w", err)
		}
	}
}

// Image tells what the Engine has of an image. ErrNotFound if it is not there.
func (e *Engine) Image(ctx context.Context, ref string) (Image, error) {
	in, err := e.c.ImageInspect(ctx, ref)
	if err != nil {
		return Image{}, failed("inspect image", ref, err)
	}
	i := Image{ID: in.ID, Bytes: in.Size}
	if in.Config != nil {
		i.User, i.Labels = in.Config.User, in.Config.Labels
	}
	return i, nil
}

// Pull fetches an image from its registry.
func (e *Engine) Pull(ctx context.Context, ref string) error {
	r, err := e.c.ImagePull(ctx, ref, image.PullOptions{})
	if err != nil {
		return failed("pull", ref, err)
	}
	defer r.Close()
	_, err = progress(r, io.Discard)
	return failed("pull", ref, err)
}

// RemoveImage takes away the name of an image, and what nothing else uses of it. An
// image that is not there is no error.
func (e *Engine) RemoveImage(ctx context.Context, ref string) error {
	_, err := e.c.ImageRemove(ctx, ref, image.RemoveOptions{PruneChildren: true})
	if err = failed("remove image", ref, err); errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// PruneImages removes the images that have all labels, no name, and at least an age:
// what old builds left.
func (e *Engine) PruneImages(ctx context.Context, labels map[string]string, age time.Duration) error {
	f := labelled(labels)
	f.Add("dangling", "true")
	f.Add("until", age.String())
	_, err := e.c.ImagesPrune(ctx, f)
	return failed("prune", "images", err)
}
