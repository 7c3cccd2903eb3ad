package agent

import (
	"testing"

	"go.etcd.io/bbolt"
)

// replaceSchema makes a pool file of a version that nobody has written yet.
func replaceSchema(t *testing.T, path string) error {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		return err
	}
	defer db.Close()
	return db.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte("meta")).Put([]byte("schema"), []byte("99")) })
}
