//go:build race

package room

const poison = true
