package simulate

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/settled-dev/settled/tasks"
)

// controlBytesMax bounds what is read of a request to the control interface.
const controlBytesMax = 64 << 10

// Handler serves each channel's own interfaces below /<channel>/, and the control of the simulator:
//
//	POST /pay               an Order; answers a Receipt once it is on the disk: 201, or 200 for one that was paid before
//	POST /order             an Order that waits for its payer, once it is on the disk: 204
//	POST /close             closes an order that is not paid, named by its channel and out_trade_no: 204
//	GET  /record            every payment and refund, an Entry a line
//	GET  /faults            the Faults
//	POST /faults            changes those that are named, and answers all
//	POST /revise            a Revision; pays a refund that has failed, and answers its Entry
//	POST /rotate/{channel}  makes new keys and hands them over
//	GET  /healthz           200
//
// Control asks nobody who he is: serve it to oneself only. Wrong input answers 422 with the field and what is allowed.
func (s *Simulator) Handler() http.Handler { return s.handler }

// newHandler makes the handler, once: a dialect's notices may ask the desk that its interfaces were given.
func (s *Simulator) newHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /pay", s.servePay)
	mux.HandleFunc("POST /order", s.serveOrder)
	mux.HandleFunc("POST /close", s.serveClose)
	mux.HandleFunc("GET /record", s.serveRecord)
	mux.HandleFunc("GET /faults", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, s.faults()) })
	mux.HandleFunc("POST /faults", s.serveFaults)
	mux.HandleFunc("POST /revise", s.serveRevise)
	mux.HandleFunc("POST /rotate/{channel}", s.serveRotate)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	for source, d := range s.desks {
		path := "/" + string(source)
		mux.Handle(path+"/", http.StripPrefix(path, s.hanging(d.dialect.Handler(d))))
	}
	return mux
}

func (s *Simulator) servePay(w http.ResponseWriter, r *http.Request) {
	var order Order
	if err := read(w, r, &order); err != nil {
		refuse(w, err)
		return
	}
	receipt, err := s.Pay(order)
	if err != nil {
		refuse(w, err)
		return
	}
	status := http.StatusCreated
	if receipt.Replayed {
		status = http.StatusOK
	}
	answer(w, status, receipt)
}

func (s *Simulator) serveOrder(w http.ResponseWriter, r *http.Request) {
	var order Order
	err := read(w, r, &order)
	if err == nil {
		err = s.Order(order)
	}
	if err != nil {
		refuse(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *Simulator) serveClose(w http.ResponseWriter, r *http.Request) {
	var named closedLine
	err := read(w, r, &named)
	if err == nil {
		err = s.CloseOrder(named.Channel, named.OutTradeNo)
	}
	if err != nil {
		refuse(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *Simulator) serveRecord(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	encoder := json.NewEncoder(w)
	for _, entry := range s.Record() {
		if encoder.Encode(entry) != nil {
			return // who asked has gone
		}
	}
}

func (s *Simulator) serveFaults(w http.ResponseWriter, r *http.Request) {
	faults := s.faults()
	err := read(w, r, &faults)
	if err == nil {
		err = s.SetFaults(faults)
	}
	if err != nil {
		refuse(w, err)
		return
	}
	answer(w, http.StatusOK, faults)
}

func (s *Simulator) serveRotate(w http.ResponseWriter, r *http.Request) {
	if err := s.Rotate(tasks.Source(r.PathValue("channel"))); err != nil {
		refuse(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// faults are the same at every desk.
func (s *Simulator) faults() Faults {
	for _, d := range s.desks {
		faults, _ := d.misbehaviour()
		return faults
	}
	return Faults{}
}

// read reads a JSON object strictly.
func read(w http.ResponseWriter, r *http.Request, into any) error {
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, controlBytesMax))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return &tasks.FieldError{Field: "body", Problem: fmt.Sprintf("cannot be read: %v", err), Allowed: "one JSON object"}
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return &tasks.FieldError{Field: "body", Problem: "has more after the object", Allowed: "one JSON object"}
	}
	return nil
}

func refuse(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	var bad *tasks.FieldError
	switch {
	case errors.As(err, &bad):
		status = http.StatusUnprocessableEntity
	case errors.Is(err, ErrPaid), errors.Is(err, ErrOrdered), errors.Is(err, ErrClosed), errors.Is(err, ErrNotFailed), errors.Is(err, ErrTooMuch):
		status = http.StatusConflict
	case errors.Is(err, ErrNotOrdered):
		status = http.StatusNotFound
	}
	answer(w, status, map[string]string{"error": err.Error()})
}

func answer(w http.ResponseWriter, status int, content any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(content) // who asked has gone
}
