package durable

import "os"

// fdatasync makes what f has durable: os.File.Sync is F_FULLFSYNC there. See fcntl(2).
func fdatasync(f *os.File) error { return f.Sync() }
