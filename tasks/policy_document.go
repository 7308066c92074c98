package tasks

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/settled-dev/settled/money"
)

// policyAllowed is what a policy, or a field of it, may be that cannot be read at all.
const policyAllowed = "what `settled policy` prints"

// readPolicy reads a policy's JSON over the defaults, field by field, so that what cannot be read is named. Values are not checked.
func readPolicy(document []byte) (Policy, error) {
	policy := DefaultPolicy()
	var fields map[string]json.RawMessage
	if err := readValue("policy", document, &fields); err != nil {
		return Policy{}, err
	}
	shape := reflect.TypeFor[Policy]()
	targets := make(map[string]any, shape.NumField())
	var known []string
	for i := range shape.NumField() {
		name := shape.Field(i).Tag.Get("json")
		known = append(known, name)
		targets[name] = reflect.ValueOf(&policy).Elem().Field(i).Addr().Interface()
	}
	policy.Products = nil // a product that is read into a default one would keep what it does not name
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		target, ok := targets[name]
		if !ok {
			return Policy{}, &FieldError{Field: join("", name), Problem: "is unknown", Allowed: "the fields " + strings.Join(known, ", ")}
		}
		if limits, ok := target.(*map[Source]RefundLimit); ok {
			target = (*refundLimits)(limits)
		}
		if err := readValue(name, fields[name], target); err != nil {
			return Policy{}, err
		}
	}
	if _, given := fields["products"]; !given {
		policy.Products = DefaultPolicy().Products
	}
	return policy, nil
}

// refundLimits are read over those that count already, channel by channel: a limit that is left out is not none.
type refundLimits map[Source]RefundLimit

// UnmarshalJSON implements json.Unmarshaler. It returns a *FieldError.
func (l refundLimits) UnmarshalJSON(document []byte) error {
	var channels map[Source]json.RawMessage
	if err := readValue("refund_limits", document, &channels); err != nil {
		return err
	}
	for _, channel := range slices.Sorted(maps.Keys(channels)) {
		limit := l[channel]
		if err := readValue(join("refund_limits", string(channel)), channels[channel], &limit); err != nil {
			return err
		}
		l[channel] = limit
	}
	return nil
}

// readValue reads one JSON value and nothing else, with no unknown field. It returns a *FieldError.
func readValue(field string, document []byte, target any) error {
	refuse := func(problem string) error { return &FieldError{Field: field, Problem: problem, Allowed: policyAllowed} }
	if string(bytes.TrimSpace(document)) == "null" {
		return refuse("is null")
	}
	if !json.Valid(document) {
		return refuse("is not one JSON value")
	}
	decoder := json.NewDecoder(bytes.NewReader(document))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(target)
	var named *FieldError
	var other *json.UnmarshalTypeError
	_, amount := target.(*money.Amount)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &named):
		return named
	case amount:
		return fieldErrorOf(field, err)
	case errors.As(err, &other):
		return refuse("has JSON of another sort: " + other.Value)
	default:
		return refuse("cannot be read: " + err.Error())
	}
}
