package postgres

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// URLError says what is wrong with a database URL. It holds nothing of the URL's user and password.
type URLError struct {
	Problem string
}

func (e *URLError) Error() string {
	return "DATABASE_URL " + e.Problem + "; it looks like postgres://user:password@host:5432/database"
}

// Address returns where url points, as "user@host:port/database": what may be logged of it. A url that cannot be read
// gives "(unreadable)".
func Address(url string) string {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return "(unreadable)"
	}
	return fmt.Sprintf("%s@%s:%d/%s", config.User, config.Host, config.Port, config.Database)
}

// parsePoolConfig reads url. It fails with *URLError.
func parsePoolConfig(url string) (*pgxpool.Config, error) {
	if strings.TrimSpace(url) == "" {
		return nil, &URLError{Problem: "is empty"}
	}
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, &URLError{Problem: urlProblem(url, err)}
	}
	return config, nil
}

// urlProblem says why raw could not be read, given the driver's error. The driver's words are passed on only where it
// is certain which part of raw is secret: in a malformed URL a piece of the password may stand as a "port".
func urlProblem(raw string, err error) string {
	scheme, rest, isURL := strings.Cut(raw, "://")
	switch {
	case isURL && scheme != "postgres" && scheme != "postgresql":
		return fmt.Sprintf("has scheme %s, allowed are postgres and postgresql", strconv.Quote(cut(scheme, 20)))
	case !isURL && !strings.Contains(raw, "="):
		return "is neither a URL nor key=value pairs"
	case !isURL && strings.Contains(raw, "password"):
		return "is not well-formed: values with spaces, quotes or backslashes must be quoted"
	}
	if isURL {
		parsed, parseErr := url.Parse(raw)
		if parseErr != nil && strings.Contains(rest, "@") {
			return "is not a well-formed URL: in user and password, characters such as @ : / ? # % must be percent-encoded"
		}
		if parseErr == nil && (parsed.User != nil || strings.Contains(parsed.RawQuery, "password")) {
			return "cannot be used: " + withoutSecrets(driverProblem(err), parsed)
		}
	}
	return "cannot be used: " + driverProblem(err)
}

// driverProblem returns the driver's reason without the connection string that it quotes in front.
func driverProblem(err error) string {
	text := err.Error()
	if inner := errors.Unwrap(err); inner != nil {
		text = inner.Error()
	}
	if end := strings.LastIndex(text, "`: "); end >= 0 {
		text = text[end+len("`: "):]
	}
	return text
}

// withoutSecrets replaces in text every spelling of the URL's password.
func withoutSecrets(text string, parsed *url.URL) string {
	secrets := append(parsed.Query()["password"], parsed.Query()["sslpassword"]...)
	if password, set := parsed.User.Password(); set {
		secrets = append(secrets, password)
	}
	for _, secret := range secrets {
		if secret == "" {
			continue
		}
		for _, spelling := range []string{secret, url.QueryEscape(secret), url.PathEscape(secret)} {
			text = strings.ReplaceAll(text, spelling, "xxxxx")
		}
	}
	return text
}

func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return text[:limit]
}
