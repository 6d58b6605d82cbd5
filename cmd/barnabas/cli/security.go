package cli

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"regexp"
	"sort"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// known are the client properties that are acted on.
var known = map[string]bool{
	"bootstrap.servers": true, "client.id": true,
	"security.protocol": true, "sasl.mechanism": true, "sasl.jaas.config": true,
	"ssl.truststore.type": true, "ssl.truststore.location": true, "ssl.truststore.certificates": true,
	"ssl.keystore.type": true, "ssl.keystore.location": true, "ssl.keystore.certificate.chain": true, "ssl.keystore.key": true,
	"ssl.endpoint.identification.algorithm": true,
}

func unknownProperties(properties map[string]string) []string {
	var out []string
	for name := range properties {
		if !known[name] {
			out = append(out, name)
		}
	}
	sort.Strings(out)
	return out
}

// secure reads security.protocol and what belongs to it.
func (s *settings) secure(p map[string]string) error {
	protocol := strings.ToUpper(p["security.protocol"])
	switch protocol {
	case "", "PLAINTEXT":
		return nil
	case "SSL", "SASL_PLAINTEXT", "SASL_SSL":
	default:
		return fmt.Errorf("security.protocol %q is none of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL", protocol)
	}
	if strings.HasSuffix(protocol, "SSL") {
		config, err := tlsConfig(p)
		if err != nil {
			return err
		}
		s.tls = config
	}
	if strings.HasPrefix(protocol, "SASL") {
		mechanism, err := login(p)
		if err != nil {
			return err
		}
		s.options = append(s.options, kgo.SASL(mechanism))
	}
	return nil
}

// tlsConfig reads certificates in PEM form, from the property itself or from a file.
func tlsConfig(p map[string]string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	for _, name := range []string{"ssl.truststore.type", "ssl.keystore.type"} {
		if t := p[name]; t != "" && !strings.EqualFold(t, "PEM") {
			return nil, fmt.Errorf("%s %s: only PEM is read; convert the store with keytool and openssl", name, t)
		}
	}
	trust, err := pemOf(p, "ssl.truststore.certificates", "ssl.truststore.location")
	if err != nil {
		return nil, err
	}
	if trust != nil {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(trust) {
			return nil, fmt.Errorf("ssl.truststore: no certificate in PEM form found")
		}
	}
	chain, err := pemOf(p, "ssl.keystore.certificate.chain", "ssl.keystore.location")
	if err != nil {
		return nil, err
	}
	if chain != nil {
		key := []byte(unfold(p["ssl.keystore.key"]))
		if len(key) == 0 {
			key = chain
		}
		pair, err := tls.X509KeyPair(chain, key)
		if err != nil {
			return nil, fmt.Errorf("ssl.keystore: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	if algorithm, set := p["ssl.endpoint.identification.algorithm"]; set && algorithm == "" {
		skipHostNames(config)
	}
	return config, nil
}

// skipHostNames verifies the chain but not the name, as Kafka's clients do for an empty ssl.endpoint.identification.algorithm.
func skipHostNames(config *tls.Config) {
	config.InsecureSkipVerify = true
	config.VerifyConnection = func(state tls.ConnectionState) error {
		options := x509.VerifyOptions{Roots: config.RootCAs, Intermediates: x509.NewCertPool()}
		for _, c := range state.PeerCertificates[1:] {
			options.Intermediates.AddCert(c)
		}
		_, err := state.PeerCertificates[0].Verify(options)
		return err
	}
}

func pemOf(p map[string]string, inline, location string) ([]byte, error) {
	if v := p[inline]; v != "" {
		return []byte(unfold(v)), nil
	}
	if path := p[location]; path != "" {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", location, err)
		}
		return b, nil
	}
	return nil, nil
}

// unfold restores the line breaks of a PEM text that was written as one property.
func unfold(s string) string { return strings.ReplaceAll(s, `\n`, "\n") }

var jaasOption = regexp.MustCompile(`(\w+)\s*=\s*"((?:[^"\\]|\\.)*)"`)

// login reads user and password from sasl.jaas.config.
func login(p map[string]string) (sasl.Mechanism, error) {
	options := map[string]string{}
	for _, m := range jaasOption.FindAllStringSubmatch(p["sasl.jaas.config"], -1) {
		options[m[1]] = strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(m[2])
	}
	user, password := options["username"], options["password"]
	if user == "" {
		return nil, fmt.Errorf(`sasl.jaas.config names no user: ...LoginModule required username="..." password="...";`)
	}
	switch mechanism := strings.ToUpper(p["sasl.mechanism"]); mechanism {
	case "PLAIN":
		return plain.Auth{User: user, Pass: password}.AsMechanism(), nil
	case "SCRAM-SHA-256":
		return scram.Auth{User: user, Pass: password}.AsSha256Mechanism(), nil
	case "SCRAM-SHA-512":
		return scram.Auth{User: user, Pass: password}.AsSha512Mechanism(), nil
	default:
		return nil, fmt.Errorf("sasl.mechanism %q is none of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512", mechanism)
	}
}
