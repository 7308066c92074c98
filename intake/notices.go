package intake

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/settled-dev/settled/tasks"
)

const noticesPath = "/v1/notices/{channel}"

// registerNotices mounts the door of the channels beside the operations: it needs the raw body, proves its callers by their signatures,
// and answers as each channel wants.
func (a *API) registerNotices(routes huma.API) {
	if a.config.Notices == nil {
		return
	}
	a.mux.Handle("POST "+noticesPath, a.config.Notices)
	routes.OpenAPI().AddOperation(&huma.Operation{
		OperationID: "take-notice", Method: http.MethodPost, Path: noticesPath, Tags: []string{"channels"}, Security: needsNoKey(),
		Summary:     "Take a payment channel's notice",
		Description: "The channel signs it, sends it in its own format, and is answered in that. Its notify URL is this path.",
		Parameters: []*huma.Param{{Name: "channel", In: "path", Required: true,
			Schema: &huma.Schema{Type: huma.TypeString, Enum: anyOf(tasks.Channels())}}},
		RequestBody: &huma.RequestBody{Required: true, Description: "The channel's own format: JSON, or a form.",
			Content: map[string]*huma.MediaType{
				mediaJSON:                           {Schema: &huma.Schema{Type: huma.TypeObject}},
				"application/x-www-form-urlencoded": {Schema: &huma.Schema{Type: huma.TypeObject}},
			}},
		Responses: map[string]*huma.Response{"default": {Description: "As the channel wants it; 404 when it is not configured"}},
	})
}
