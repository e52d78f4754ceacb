package assent

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// cleanText is what of it may stand in a message: UTF-8, and no longer than max bytes.
func cleanText(text string, max int) string {
	text = strings.ToValidUTF8(text, "?")
	if len(text) <= max {
		return text
	}
	end := max
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}

// oneLine: what others say of themselves must not end a line and begin another.
func oneLine(text string, max int) string {
	return cleanText(strings.Map(func(c rune) rune {
		if unicode.IsPrint(c) {
			return c
		}
		return '?'
	}, text), max)
}
