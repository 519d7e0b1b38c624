package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/earshot-mq/earshot/deploy/agent"
	"github.com/earshot-mq/earshot/internal/admin"
	"github.com/earshot-mq/earshot/internal/containers"
	"github.com/earshot-mq/earshot/internal/process"
)

func agentCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "docker-agent", GroupID: "roles", Args: noArgs,
		Short: "Tell gateway and subscriber which containers run, so that they need not hold the Docker socket",
		Long: `Follow the containers of this machine's Docker Engine and tell of those that have a label
that begins with earshot.: name, state, health, addresses and those labels, nothing else, on
a private network. It asks the Engine questions only. Nothing else should be given the
Docker socket, which is as good as root.`,
		Example: "  earshot docker-agent\n  curl http://127.0.0.1:5002" + containers.Path,
	}
	return withSettings(cmd, "docker-agent", dockerAgent)
}

func dockerAgent(ctx context.Context, s *settings) error {
	at := s.String("agent.listen")
	door, err := admin.New(admin.Options{Addr: at, Private: s.Bool("admin.private"), Version: version})
	if err != nil {
		return usage(fmt.Errorf("agent.listen: %w", err))
	}
	l, err := process.Listen(at, "--agent-listen")
	if err != nil {
		return err
	}
	a := agent.New(agent.Options{Socket: s.String("agent.socket"), Logger: s.log})
	door.Check("engine", admin.Ready, a.Ready)
	door.Handle("GET "+containers.Path, a)
	if err := door.Register(a.Metrics()); err != nil {
		return errors.Join(err, l.Close())
	}
	ctx, hurry, stop := process.Signals(ctx)
	defer stop()
	s.log.Info("up", "role", "docker-agent", "at", "http://"+l.Addr().String())
	return process.Stages(ctx, s.log, hurry,
		process.Stage{Name: "agent", Run: a.Run},
		process.Stage{Name: "door", Run: process.Serve(l, door.Handler(), process.ServeOptions{
			Logger: s.log, Grace: time.Second, Cut: func(context.Context) error { a.Close(); return nil },
		})},
	)
}
