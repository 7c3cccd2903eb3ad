package stages

import (
	"context"
	"fmt"
	"time"
)

// delegate is Delegate to a stage that is in this process: as if it had been started with that configuration.
func (x *fusedRun) delegate(ctx context.Context, s Named, config []byte, command string) (*Result, error) {
	outer := x.began
	defer func() { x.began = outer }()
	result, err := x.delegateOnce(ctx, s, config, command)
	if err == nil || command != cmdAdd {
		return result, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoLimit)
	defer cancel()
	if _, err := x.delegateOnce(ctx, s, config, cmdDel); err != nil && x.process.Stderr != nil {
		fmt.Fprintf(x.process.Stderr, "cannot undo the ADD of %s: %v\n", x.r.Attachment, err)
	}
	return nil, err
}

func (x *fusedRun) delegateOnce(ctx context.Context, s Named, config []byte, command string) (result *Result, err error) {
	r, notes, fault := parse(command, x.process.Getenv, x.r.Environ, config)
	x.began = time.Time{}
	err = x.turn(s, r, func(c *call) error {
		if fault != nil {
			return fault
		}
		if fault := c.admit(notes); fault != nil {
			return fault
		}
		switch command {
		case cmdAdd:
			result, err = c.result(ctx)
			return err
		case cmdDel:
			return c.stage.Del(ctx, r)
		case cmdCheck:
			return c.stage.Check(ctx, r)
		case cmdGC:
			return c.stage.GC(ctx, r)
		}
		return c.status(ctx)
	})
	if err == nil {
		return result, nil
	}
	own := asError(err)
	e := Errorf(Delegated, "%s: %s", s.Type, own.Error())
	e.Code = own.Code
	return nil, e
}
