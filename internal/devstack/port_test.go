package devstack

import (
	"errors"
	"net"
	"testing"
)

func TestFreePortIsBelowThoseOfOutgoingConnections(t *testing.T) {
	t.Parallel()
	for range 100 {
		port, err := freePort()
		if err != nil {
			t.Fatal(err)
		}
		if port < portLow || port >= portHigh {
			t.Fatalf("port %d is outside [%d, %d)", port, portLow, portHigh)
		}
	}
}

func TestTakenPortIsGivenUpForAnother(t *testing.T) {
	t.Parallel()
	attempts := 0
	err := onFreePort(func(port int) error {
		if attempts++; attempts < 3 {
			return errPortTaken
		}
		listener, err := net.Listen("tcp", loopback(port))
		if err != nil {
			return err
		}
		return listener.Close()
	})
	if err != nil || attempts != 3 {
		t.Errorf("%d attempts, %v; want success at the third", attempts, err)
	}
}

func TestTakenPortsAreNotTriedForEver(t *testing.T) {
	t.Parallel()
	if err := onFreePort(func(int) error { return errPortTaken }); !errors.Is(err, errPortTaken) {
		t.Errorf("error = %v, want errPortTaken", err)
	}
	if broken := errors.New("broken"); !errors.Is(onFreePort(func(int) error { return broken }), broken) {
		t.Error("an error other than a taken port was not returned at once")
	}
}
