package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// peersDir is where bench/peers/install puts what it fetches.
func (o *options) peersDir() string { return filepath.Join(filepath.Dir(o.peers), "peers") }

// launchNATS starts nats-server with file storage; sync is its sync_interval.
func launchNATS(sync string) func(*running) error {
	return func(r *running) error {
		binary, err := filepath.Abs(r.o.peers)
		if err != nil {
			return err
		}
		if _, err := os.Stat(binary); err != nil {
			return fmt.Errorf("run bench/peers/install first: %w", err)
		}
		var routes []string
		for node := range r.system.nodes {
			routes = append(routes, fmt.Sprintf("nats://127.0.0.1:%d", r.peer(node)))
		}
		for node := range r.system.nodes {
			dir, err := r.nodeDir(node)
			if err != nil {
				return err
			}
			lines := []string{fmt.Sprintf("server_name: node%d", node+1), "listen: " + r.address(node), "max_payload: 8MB",
				fmt.Sprintf("jetstream { store_dir: %q, sync_interval: %q, max_file_store: 100GB }", filepath.Join(dir, "data"), sync)}
			if r.system.nodes > 1 {
				lines = append(lines, fmt.Sprintf("cluster { name: bench, listen: 127.0.0.1:%d, routes: [%s] }", r.peer(node), strings.Join(routes, ", ")))
			}
			config := filepath.Join(dir, "nats.conf")
			if err := os.WriteFile(config, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
				return err
			}
			if err := r.spawn(dir, nil, binary, "nats-server", config); err != nil {
				return err
			}
		}
		return nil
	}
}

// launchRabbitMQ starts Debian's RabbitMQ as whoever we are, with everything below its directory.
func launchRabbitMQ(r *running) error {
	script := "/usr/lib/rabbitmq/bin/rabbitmq-server"
	if _, err := os.Stat(script); err != nil {
		return fmt.Errorf("run bench/peers/install first: %w", err)
	}
	dir, err := r.nodeDir(0)
	if err != nil {
		return err
	}
	config := filepath.Join(dir, "rabbitmq.conf")
	lines := fmt.Sprintf("listeners.tcp.1 = %s\nlog.console = true\nlog.console.level = warning\nvm_memory_high_watermark.relative = 0.6\ndisk_free_limit.absolute = 1GB\n", r.address(0))
	plugins := filepath.Join(dir, "enabled_plugins")
	if err := os.WriteFile(config, []byte(lines), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(plugins, []byte("[].\n"), 0o644); err != nil {
		return err
	}
	names := fmt.Sprintf("ERL_EPMD_PORT=%d", r.other(0)) // a name server of our own, which outlives the node
	r.cleanup = append(r.cleanup, func() {
		kill := exec.Command("epmd", "-kill")
		kill.Env = append(os.Environ(), names)
		_ = kill.Run()
	})
	return r.spawn(dir, []string{names, "HOME=" + dir, "RABBITMQ_NODENAME=bench@localhost", fmt.Sprintf("RABBITMQ_DIST_PORT=%d", r.peer(0)),
		"RABBITMQ_CONFIG_FILE=" + config, "RABBITMQ_MNESIA_BASE=" + filepath.Join(dir, "data"), "RABBITMQ_LOG_BASE=" + dir,
		"RABBITMQ_ENABLED_PLUGINS_FILE=" + plugins, "RABBITMQ_PID_FILE=" + filepath.Join(dir, "pid"), "RABBITMQ_CONF_ENV_FILE=/dev/null"}, script)
}

// launchRedis starts Debian's Redis; fsync is its appendfsync.
func launchRedis(fsync string) func(*running) error {
	return func(r *running) error {
		if _, err := exec.LookPath("redis-server"); err != nil {
			return fmt.Errorf("run bench/peers/install first: %w", err)
		}
		dir, err := r.nodeDir(0)
		if err != nil {
			return err
		}
		return r.spawn(dir, nil, "redis-server", "--bind", "127.0.0.1", "--port", fmt.Sprint(r.client(0)), "--dir", dir,
			"--appendonly", "yes", "--appendfsync", fsync, "--save", "", "--io-threads", "1")
	}
}
