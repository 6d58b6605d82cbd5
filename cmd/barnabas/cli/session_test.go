package cli_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/barnabas-log/barnabas/cmd/barnabas/cli"
	"github.com/barnabas-log/barnabas/cmd/barnabas/cli/clitest"
)

// ask is a verb that asks the cluster for its id.
func ask(app *cli.App) *cobra.Command {
	return &cobra.Command{Use: "ask", Args: cli.Args(0, 1), RunE: func(cmd *cobra.Command, args []string) error {
		ctx, cancel := app.Deadline(cmd.Context())
		defer cancel()
		session, err := app.Connect(ctx)
		if err != nil {
			return err
		}
		defer session.Close()
		if len(args) > 0 {
			_, err := session.Topics(ctx, args[0])
			return err
		}
		m, err := session.Admin.BrokerMetadata(ctx)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(app.Out, m.Cluster)
		return err
	}}
}

// run runs ask in an environment of its own.
func run(t *testing.T, env map[string]string, args ...string) clitest.Result {
	t.Helper()
	var out, errs bytes.Buffer
	code := clitest.Execute(t.Context(), env, strings.NewReader(""), &out, &errs, []func(*cli.App) *cobra.Command{ask}, append([]string{"ask"}, args...)...)
	return clitest.Result{Code: code, Out: out.String(), Err: errs.String()}
}

// closedPort is an address where nothing listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// file writes text to a file of the test.
func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFlagWinsOverEnvironmentOverFile(t *testing.T) {
	b := clitest.New(t, ask)
	good, bad := b.Cluster.ListenAddrs()[0], closedPort(t)
	properties := func(address string) string {
		return file(t, "client.properties", "bootstrap.servers="+address+"\nclient.id=me\n")
	}
	env := func(address string) map[string]string { return map[string]string{"BARNABAS_BROKERS": address} }
	run(t, nil, "--config", properties(good)).Want(t, 0).WantOut(t, "castle\n")
	run(t, env(good), "--config", properties(bad)).Want(t, 0)
	run(t, env(bad), "--config", properties(bad), "-b", good).Want(t, 0)
	run(t, env(good), "-b", bad).Want(t, 3)
	run(t, nil, "-b", bad+","+good).Want(t, 0) // one that answers is enough
}

func TestPropertiesWithoutMeaningAreNamed(t *testing.T) {
	b := clitest.New(t, ask)
	path := file(t, "client.properties", "bootstrap.servers="+b.Cluster.ListenAddrs()[0]+"\nlinger.ms=5\n")
	run(t, nil, "--config", path).Want(t, 0).WantOut(t, "castle\n").Says(t, "linger.ms is ignored")
	run(t, nil, "--config", path+"x").Want(t, 2).Says(t, "read client settings", "no such file")
	run(t, nil, "--config", file(t, "c", "security.protocol=TLS")).Want(t, 2).Says(t, `security.protocol "TLS" is none of`)
	run(t, nil, "--config", file(t, "c", "security.protocol=SASL_SSL\nsasl.mechanism=PLAIN")).Want(t, 2).Says(t, "names no user")
	run(t, nil, "--config", file(t, "c", "security.protocol=SSL\nssl.truststore.type=JKS")).Want(t, 2).Says(t, "only PEM is read")
}

func TestNothingListens(t *testing.T) {
	address := closedPort(t)
	run(t, nil, "-b", address).Want(t, 3).WantOut(t, "").Says(t, "error: nothing listens at "+address+": connection refused", "hint: start a node with `barnabas`")
}

func TestUnknownHost(t *testing.T) {
	run(t, nil, "-b", "no-such-host.invalid:9092").Want(t, 3).Says(t, "error: cannot reach no-such-host.invalid:9092", "hint: check")
	run(t, nil, "-b", "a:1,,b:2").Want(t, 2).Says(t, "empty address")
}

func TestSilentBrokerTimesOut(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts in the kernel's queue, never answers
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	run(t, nil, "-b", l.Addr().String(), "--timeout", "200ms").Want(t, 3).Says(t, "error: no answer from "+l.Addr().String()+" within 200ms", "hint: wait longer")
}

func TestBrokerThatAdvertisesAnAddressOutOfReach(t *testing.T) {
	b := clitest.New(t, ask)
	stranger := closedPort(t)
	host, port, err := net.SplitHostPort(stranger)
	if err != nil {
		t.Fatal(err)
	}
	b.Cluster.ControlKey(int16(kmsg.Metadata), func(r kmsg.Request) (kmsg.Response, error, bool) {
		b.Cluster.KeepControl()
		resp := r.ResponseKind().(*kmsg.MetadataResponse)
		broker := kmsg.NewMetadataResponseBroker()
		broker.NodeID, broker.Host = 7, host
		_, _ = fmt.Sscan(port, &broker.Port) // a port of the kernel's making
		resp.Brokers = append(resp.Brokers, broker)
		resp.ControllerID = 7
		return resp, nil, true
	})
	ctx := t.Context()
	var out, errs bytes.Buffer
	env := map[string]string{"BARNABAS_BROKERS": b.Cluster.ListenAddrs()[0]}
	list := func(app *cli.App) *cobra.Command {
		return &cobra.Command{Use: "create", RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := app.Deadline(cmd.Context())
			defer cancel()
			session, err := app.Connect(ctx)
			if err != nil {
				return err
			}
			defer session.Close()
			_, err = session.Admin.CreateTopics(ctx, 1, 1, nil, "x")
			return err
		}}
	}
	code := clitest.Execute(ctx, env, strings.NewReader(""), &out, &errs, []func(*cli.App) *cobra.Command{list}, "create", "--timeout", "1s")
	clitest.Result{Code: code, Out: out.String(), Err: errs.String()}.Want(t, 3).
		Says(t, "names a broker at "+stranger+" that cannot be reached", "advertised.listeners")
}

func TestLoginWithSCRAMAndPLAIN(t *testing.T) {
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		b := clitest.NewCluster(t, []kfake.Opt{kfake.EnableSASL(), kfake.Superuser(mechanism, "frieda", `pa"ss`)}, ask)
		config := func(password string) string {
			return file(t, "client.properties", "bootstrap.servers="+b.Cluster.ListenAddrs()[0]+"\nsecurity.protocol=SASL_PLAINTEXT\nsasl.mechanism="+mechanism+
				"\nsasl.jaas.config=some.LoginModule required username=\"frieda\" password=\""+password+"\";\n")
		}
		run(t, nil, "--config", config(`pa\\"ss`)).Want(t, 0).WantOut(t, "castle\n")
		r := run(t, nil, "--config", config("secret"), "--timeout", "1s")
		// The fake cluster hangs up on a wrong password, a real one answers with an error.
		if r.Code == 0 || strings.Contains(r.Err, "secret") {
			t.Fatalf("a wrong password: exit code %d\n%s", r.Code, r.Err)
		}
		run(t, nil, "-b", b.Cluster.ListenAddrs()[0], "--timeout", "1s").Want(t, 3).Says(t, "security.protocol")
	}
}

func TestTLSWithTrustedCertificate(t *testing.T) {
	certificate, trust := selfSigned(t)
	b := clitest.NewCluster(t, []kfake.Opt{kfake.TLS(&tls.Config{Certificates: []tls.Certificate{certificate}})}, ask)
	head := "bootstrap.servers=" + b.Cluster.ListenAddrs()[0] + "\nsecurity.protocol=SSL\n"
	run(t, nil, "--config", file(t, "c", head+"ssl.truststore.type=PEM\nssl.truststore.location="+file(t, "ca.pem", trust))).Want(t, 0).WantOut(t, "castle\n")
	run(t, nil, "--config", file(t, "c", head+"ssl.truststore.certificates="+strings.ReplaceAll(trust, "\n", `\\n`))).Want(t, 0)
	run(t, nil, "--config", file(t, "c", head), "--timeout", "10s").Want(t, 3).Says(t, "certificate")
}

// selfSigned makes a certificate for 127.0.0.1.
func selfSigned(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func TestHintsSurviveWrapping(t *testing.T) {
	err := fmt.Errorf("do: %w", cli.WithHint(cli.NotFoundf("", "x"), "look there"))
	var f *cli.Failure
	if !errors.As(err, &f) || f.Code != cli.ExitNotFound || f.Hint != "look there" || !cli.IsNotFound(err) {
		t.Fatalf("%+v", f)
	}
	if got := cli.Refused(kerr.InvalidTopicException, "told why.").Error(); got != "INVALID_TOPIC_EXCEPTION: told why" {
		t.Fatalf("%q", got)
	}
}
