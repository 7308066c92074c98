package tasks

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
)

// diffPayloads lists the fields in which two canonical payloads differ, in alphabetical order. It returns nil for equal ones.
func diffPayloads(stored, asked []byte) ([]Diff, error) {
	if bytes.Equal(stored, asked) {
		return nil, nil
	}
	was, err := flatten(stored)
	if err != nil {
		return nil, fmt.Errorf("read the stored payload: %w", err)
	}
	now, err := flatten(asked)
	if err != nil {
		return nil, fmt.Errorf("read the asked payload: %w", err)
	}
	var diffs []Diff
	for field, value := range was {
		if now[field] != value {
			diffs = append(diffs, Diff{Field: field, Stored: value, Asked: orAbsent(now, field)})
		}
	}
	for field, value := range now {
		if _, both := was[field]; !both {
			diffs = append(diffs, Diff{Field: field, Stored: "absent", Asked: value})
		}
	}
	slices.SortFunc(diffs, func(a, b Diff) int { return bytes.Compare([]byte(a.Field), []byte(b.Field)) })
	return diffs, nil
}

func orAbsent(fields map[string]string, field string) string {
	if value, ok := fields[field]; ok {
		return value
	}
	return "absent"
}

// flatten maps each leaf's path, such as legs[0].amount, to its whole text: a text that is cut would equal another one. What
// acceptance has validated is short.
func flatten(canonical []byte) (map[string]string, error) {
	decoder := json.NewDecoder(bytes.NewReader(canonical))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, err
	}
	leaves := map[string]string{}
	flattenValue("", value, leaves)
	return leaves, nil
}

func flattenValue(path string, value any, leaves map[string]string) {
	switch value := value.(type) {
	case map[string]any:
		if len(value) == 0 {
			leaves[path] = "{}"
		}
		for name, field := range value {
			flattenValue(join(path, name), field, leaves)
		}
	case []any:
		if len(value) == 0 {
			leaves[path] = "[]"
		}
		for i, item := range value {
			flattenValue(fmt.Sprintf("%s[%d]", path, i), item, leaves)
		}
	case string:
		leaves[path] = strconv.QuoteToASCII(value)
	default:
		leaves[path] = fmt.Sprint(value)
	}
}
