package intake

import (
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// payloads are the wire shapes of the kinds that producers ask for, to be described.
var payloads = map[tasks.Kind]any{
	tasks.PaymentCapture:  tasks.Payment{},
	tasks.RefundApply:     tasks.Refund{},
	tasks.RechargeConfirm: tasks.Recharge{},
	tasks.RewardGrant:     tasks.Reward{},
	tasks.TransferSend:    tasks.Transfer{},
	tasks.WealthEnrol:     tasks.Enrolment{},
	tasks.SweepRun:        tasks.Sweep{},
	tasks.CreditCase:      tasks.CaseCredit{},
	tasks.ReturnCase:      tasks.CaseReturn{},
	tasks.CloseCase:       tasks.CaseClosing{},
}

// What is accepted, as patterns. They are documentation: tasks.ParsePayload decides, and refuses the ids . and .. too.
const (
	idPattern = `^[A-Za-z0-9._:@-]{1,64}$`
	// amountPattern leaves out what is nothing; a wish to keep may be nothing.
	amountPattern          = `^([1-9]\d{0,11}(\.\d{1,2})?|0\.([1-9]\d?|0[1-9]))$`
	amountOrNothingPattern = `^(0|[1-9]\d{0,11})(\.\d{1,2})?$`
)

// payloadSchema describes a kind's shape. It is documentation: what is accepted is decided by tasks.ParsePayload.
func payloadSchema(registry huma.Registry, kind tasks.Kind) *huma.Schema {
	shape := reflect.TypeOf(payloads[kind])
	describeFields(registry, shape)
	return schemaOf(registry, shape)
}

// describeFields adds to a shape's schema what its Go types do not say: how amounts are written, and the values of closed sets.
func describeFields(registry huma.Registry, shape reflect.Type) {
	schema := registry.SchemaFromRef(schemaOf(registry, shape).Ref)
	for i := range shape.NumField() {
		field := shape.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		property := schema.Properties[name]
		switch {
		case field.Type == reflect.TypeFor[money.Amount]():
			property.Pattern, property.Examples = amountPattern, []any{"12.30"}
			if name == "keep_amount" {
				property.Pattern = amountOrNothingPattern
			}
		case field.Type == reflect.TypeFor[tasks.Source]() && name == "channel":
			property.Enum = anyOf(tasks.Channels())
		case field.Type == reflect.TypeFor[tasks.Source]():
			property.Enum = anyOf(append([]tasks.Source{tasks.SourceCash, tasks.SourceReward}, tasks.Channels()...))
		case field.Type == reflect.TypeFor[tasks.LineKind]():
			property.Enum = anyOf([]tasks.LineKind{tasks.Goods, tasks.Virtual, tasks.Shipping, tasks.Coupon})
		case field.Type == reflect.TypeFor[tasks.CaseStatement]():
			property.Enum = anyOf(tasks.CaseStatements())
		case field.Type == reflect.TypeFor[tasks.RefundTarget]():
			property.Enum = anyOf([]tasks.RefundTarget{tasks.ToOrigin, tasks.ToBalance})
		case name == "occurred_at":
			property.Description = "When it happened, up to a day ahead. Its date in Shanghai is the business date."
		case field.Type == reflect.TypeFor[tasks.RefundFallback]():
			property.Enum = anyOf([]tasks.RefundFallback{tasks.FallBackToBalance})
			property.Description = "The user's recorded consent that what a channel cannot pay becomes balance. Absent: a person is asked."
		case field.Type.Kind() == reflect.String && strings.HasSuffix(name, "_id"):
			least, most := 1, tasks.IDBytesMax
			property.Pattern, property.MinLength, property.MaxLength = idPattern, &least, &most
		case field.Type.Kind() == reflect.Slice:
			describeFields(registry, field.Type.Elem())
		}
	}
}

// describePathIDs describes the ids in paths. It comes after the operations: what is no id is answered as what is not there.
func describePathIDs(api *huma.OpenAPI) {
	for _, path := range api.Paths {
		for _, operation := range []*huma.Operation{path.Get, path.Post} {
			if operation == nil {
				continue
			}
			for _, parameter := range operation.Parameters {
				if parameter.In == "path" && strings.HasSuffix(parameter.Name, "_id") {
					parameter.Schema.Pattern = idPattern
				}
			}
		}
	}
}

func anyOf[T any](values []T) []any {
	list := make([]any, len(values))
	for i, value := range values {
		list[i] = value
	}
	return list
}
