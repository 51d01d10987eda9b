{{/* Names and labels. Selector labels are immutable: never add to them. */}}

{{- define "genset.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "genset.fullname" -}}
{{- $name := include "genset.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "genset.operatorName" -}}
{{ include "genset.fullname" . }}-operator
{{- end }}

{{- define "genset.selectorLabels" -}}
app.kubernetes.io/name: {{ include "genset.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "genset.labels" -}}
{{ include "genset.selectorLabels" . }}
app.kubernetes.io/part-of: genset
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "genset.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "genset.operatorName" .) .Values.serviceAccount.name }}
{{- else }}
{{- required "serviceAccount.name is needed when serviceAccount.create is false" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "genset.image" -}}
{{- $tagged := printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- if .Values.image.digest }}{{ printf "%s@%s" $tagged .Values.image.digest }}{{ else }}{{ $tagged }}{{ end }}
{{- end }}

{{- /* Not empty if there is a bundle of certificates; two of them would hide each other. */}}
{{- define "genset.siteCA" -}}
{{- $ca := .Values.site.caBundle }}
{{- $given := list }}
{{- with $ca.pem }}{{ $given = append $given "pem" }}{{ end }}
{{- with $ca.configMap.name }}{{ $given = append $given "configMap" }}{{ end }}
{{- with $ca.secret.name }}{{ $given = append $given "secret" }}{{ end }}
{{- if gt (len $given) 1 }}
{{- fail (printf "site.caBundle takes one of pem, configMap and secret, and has %s: remove all but one" (join " and " $given)) }}
{{- end }}
{{- join "" $given }}
{{- end }}

{{- /* Not empty if the operator reads files about its site. */}}
{{- define "genset.siteFiles" -}}
{{- if and .Values.site.proxy.credentialsSecret.name (not (or .Values.site.proxy.http .Values.site.proxy.https)) }}
{{- fail "site.proxy.credentialsSecret needs site.proxy.https or site.proxy.http: name the proxy that asks for it" }}
{{- end }}
{{- include "genset.siteCA" . }}{{ .Values.site.proxy.credentialsSecret.name }}
{{- end }}

{{- /* Where the preset's resources are: whoever sets continuity.enabled lets the operator write there. */}}
{{- define "genset.continuityNamespace" -}}
{{- default .Release.Namespace .Values.continuity.namespace }}
{{- end }}

{{- define "genset.ledgerName" -}}
{{ include "genset.fullname" . }}-ledger
{{- end }}

{{- define "genset.ledgerSecret" -}}
{{ default (printf "%s-key" (include "genset.ledgerName" .)) .Values.ledger.keySecret }}
{{- end }}

{{- define "genset.ledgerSelectorLabels" -}}
app.kubernetes.io/name: {{ include "genset.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: ledger
{{- end }}

{{- define "genset.ledgerLabels" -}}
{{ include "genset.ledgerSelectorLabels" . }}
app.kubernetes.io/part-of: genset
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "genset.consoleName" -}}
{{ include "genset.fullname" . }}-console
{{- end }}

{{- define "genset.consoleSelectorLabels" -}}
app.kubernetes.io/name: {{ include "genset.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: console
{{- end }}

{{- define "genset.consoleLabels" -}}
{{ include "genset.consoleSelectorLabels" . }}
app.kubernetes.io/part-of: genset
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* The port of a URL. */}}
{{- define "genset.portOf" -}}
{{- $url := urlParse . -}}
{{- default (ternary "443" "80" (eq $url.scheme "https")) (trimPrefix ":" (regexFind ":[0-9]+$" $url.host)) -}}
{{- end }}
