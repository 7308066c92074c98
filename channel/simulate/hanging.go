package simulate

import (
	"net/http"
	"time"
)

// hangingFor is the longest that an answer hangs: longer than merchants wait, and shorter than a server's connections.
const hangingFor = 30 * time.Second

// hanging answers nothing where the handler panics with ErrHanging, until the merchant gives up or hangingFor is over. Then the connection
// breaks.
func (s *Simulator) hanging(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			switch value := recover(); value {
			case nil:
			case ErrHanging:
				select {
				case <-r.Context().Done():
				case <-s.config.Clock.After(hangingFor):
				}
				panic(http.ErrAbortHandler)
			default:
				panic(value)
			}
		}()
		next.ServeHTTP(w, r)
	})
}
