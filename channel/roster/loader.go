package roster

import (
	"net/http"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/alipay"
	"github.com/settled-dev/settled/channel/ecny"
	"github.com/settled-dev/settled/channel/unionpay"
	"github.com/settled-dev/settled/channel/wechat"
	"github.com/settled-dev/settled/tasks"
)

// loadFunc makes a channel of its settings and of the files that they name in the folder.
type loadFunc func(folder string, settings []byte, client *http.Client) (channel.Port, error)

// loaders are the channels of this version.
var loaders = map[tasks.Source]loadFunc{
	tasks.SourceWeChat:   loads(wechat.Load),
	tasks.SourceAlipay:   loads(alipay.Load),
	tasks.SourceUnionPay: loads(unionpay.Load),
	tasks.SourceECNY:     loads(ecny.Load),
}

// loads gives a channel's own Load the common form.
func loads[P channel.Port](load func(string, []byte, *http.Client) (P, error)) loadFunc {
	return func(folder string, settings []byte, client *http.Client) (channel.Port, error) {
		port, err := load(folder, settings, client)
		if err != nil {
			return nil, err // not port: nil of a pointer type is a Port that is not nil
		}
		return port, nil
	}
}
