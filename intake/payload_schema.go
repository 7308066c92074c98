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
}

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
			property.Pattern, property.Examples = `^\d{1,12}(\.\d{1,2})?$`, []any{"12.30"}
		case field.Type == reflect.TypeFor[tasks.Source]() && name == "channel":
			property.Enum = anyOf(tasks.Channels())
		case field.Type == reflect.TypeFor[tasks.Source]():
			property.Enum = anyOf(append([]tasks.Source{tasks.SourceCash, tasks.SourceReward}, tasks.Channels()...))
		case field.Type == reflect.TypeFor[tasks.LineKind]():
			property.Enum = anyOf([]tasks.LineKind{tasks.Goods, tasks.Virtual, tasks.Shipping, tasks.Coupon})
		case field.Type == reflect.TypeFor[tasks.RefundTarget]():
			property.Enum = anyOf([]tasks.RefundTarget{tasks.ToOrigin, tasks.ToBalance})
		case field.Type.Kind() == reflect.Slice:
			describeFields(registry, field.Type.Elem())
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
