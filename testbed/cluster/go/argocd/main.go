// Command argocd is the part of Argo CD that turns a Git repository into a cluster's state: repository server, application
// controller and applicationset controller in one file, chosen by the first argument. No API server and no web UI.
package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	application "github.com/argoproj/argo-cd/v3/cmd/argocd-application-controller/commands"
	applicationset "github.com/argoproj/argo-cd/v3/cmd/argocd-applicationset-controller/commands"
	repository "github.com/argoproj/argo-cd/v3/cmd/argocd-repo-server/commands"
)

// Made only when chosen: each registers flags for the whole process.
var components = map[string]func() *cobra.Command{
	"application-controller":    application.NewCommand,
	"applicationset-controller": applicationset.NewCommand,
	"repo-server":               repository.NewCommand,
}

func main() {
	if len(os.Args) > 1 {
		if newCommand, ok := components[os.Args[1]]; ok {
			os.Args = os.Args[1:]
			if err := newCommand().Execute(); err != nil {
				os.Exit(1) // cobra has said why
			}
			return
		}
	}
	var names []string
	for name := range components {
		names = append(names, name)
	}
	slices.Sort(names)
	fmt.Fprintf(os.Stderr, "usage: argocd %s\n", strings.Join(names, "|"))
	os.Exit(2)
}
