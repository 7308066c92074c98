package reference

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// description is the API as the page shows it.
type description struct {
	Title, Version, About string
	Groups                []group
	Shapes                []shape
}

// group is the operations of one tag.
type group struct {
	Name       string
	Operations []operation
}

type operation struct {
	ID, Method, Path, Summary, About string
	NoKey                            bool // it needs none
	Scopes                           []string
	Parameters                       []field
	Bodies                           []content
	Answers                          []answer
}

// field is a parameter, or a property of a shape.
type field struct {
	Name, In string
	Type     []piece
	Required bool
	About    string
	Allowed  string
}

// content is a body of one media type.
type content struct {
	MediaType string
	Type      []piece
}

type answer struct {
	Status, About string
	Contents      []content
}

// shape is a named object.
type shape struct {
	Name   string
	Fields []field
}

// piece is a part of a type's name; Shape is the shape that it links to, if any.
type piece struct{ Text, Shape string }

func describe(api *huma.OpenAPI) description {
	d := description{Title: api.Info.Title, Version: api.Info.Version, About: api.Info.Description}
	byTag := map[string][]operation{}
	for _, path := range slices.Sorted(maps.Keys(api.Paths)) {
		item := api.Paths[path]
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Patch, item.Delete} {
			if op == nil || op.Hidden {
				continue
			}
			tag := "other"
			if len(op.Tags) > 0 {
				tag = op.Tags[0]
			}
			byTag[tag] = append(byTag[tag], describeOperation(op, path))
		}
	}
	for _, tag := range slices.Sorted(maps.Keys(byTag)) {
		d.Groups = append(d.Groups, group{Name: tag, Operations: byTag[tag]})
	}
	schemas := api.Components.Schemas.Map()
	for _, name := range slices.Sorted(maps.Keys(schemas)) {
		d.Shapes = append(d.Shapes, shape{Name: name, Fields: describeProperties(schemas[name])})
	}
	return d
}

func describeOperation(op *huma.Operation, path string) operation {
	o := operation{ID: op.OperationID, Method: op.Method, Path: path, Summary: op.Summary, About: op.Description, NoKey: true}
	for _, way := range op.Security {
		for _, scopes := range way {
			o.NoKey, o.Scopes = false, scopes
		}
	}
	for _, p := range op.Parameters {
		f := describeSchema(p.Schema)
		f.Name, f.In, f.Required, f.About = p.Name, p.In, p.Required, cmp.Or(p.Description, f.About)
		o.Parameters = append(o.Parameters, f)
	}
	if op.RequestBody != nil {
		o.Bodies = describeContents(op.RequestBody.Content)
	}
	for _, status := range slices.Sorted(maps.Keys(op.Responses)) {
		response := op.Responses[status]
		o.Answers = append(o.Answers, answer{Status: status, About: response.Description, Contents: describeContents(response.Content)})
	}
	return o
}

func describeContents(contents map[string]*huma.MediaType) []content {
	var list []content
	for _, mediaType := range slices.Sorted(maps.Keys(contents)) {
		list = append(list, content{MediaType: mediaType, Type: typeOf(contents[mediaType].Schema)})
	}
	return list
}

func describeProperties(schema *huma.Schema) []field {
	var fields []field
	for _, name := range slices.Sorted(maps.Keys(schema.Properties)) {
		f := describeSchema(schema.Properties[name])
		f.Name, f.Required = name, slices.Contains(schema.Required, name)
		fields = append(fields, f)
	}
	// What must be given comes first.
	slices.SortStableFunc(fields, func(a, b field) int { return cmp.Compare(order(a), order(b)) })
	return fields
}

func order(f field) int {
	if f.Required {
		return 0
	}
	return 1
}

func describeSchema(schema *huma.Schema) field {
	f := field{Type: typeOf(schema)}
	if schema == nil {
		return f
	}
	f.About = schema.Description
	var allowed []string
	for _, value := range schema.Enum {
		allowed = append(allowed, fmt.Sprint(value))
	}
	if schema.Pattern != "" {
		allowed = append(allowed, schema.Pattern)
	}
	f.Allowed = strings.Join(allowed, ", ")
	return f
}

const refPrefix = "#/components/schemas/"

func typeOf(schema *huma.Schema) []piece {
	switch {
	case schema == nil:
		return []piece{{Text: "any"}}
	case schema.Ref != "":
		name := strings.TrimPrefix(schema.Ref, refPrefix)
		return []piece{{Text: name, Shape: name}}
	case schema.Type == huma.TypeArray:
		prefix := "list of "
		if schema.MaxItems != nil {
			prefix = fmt.Sprintf("list of up to %d ", *schema.MaxItems)
		}
		return append([]piece{{Text: prefix}}, typeOf(schema.Items)...)
	case schema.Format != "":
		return []piece{{Text: schema.Type + " (" + schema.Format + ")"}}
	default:
		return []piece{{Text: cmp.Or(schema.Type, "any")}}
	}
}
