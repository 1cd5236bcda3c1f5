{{- /* Names and labels are those of CoreDNS's chart, so that `helm upgrade` can put this chart in its place. */ -}}

{{- define "dunlin.name" -}}
{{- default "coredns" .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "dunlin.fullname" -}}
{{- $name := include "dunlin.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "dunlin.deployment" -}}{{ default (include "dunlin.fullname" .) .Values.deployment.name }}{{- end -}}
{{- define "dunlin.service" -}}{{ default (include "dunlin.fullname" .) .Values.service.name }}{{- end -}}
{{- define "dunlin.clusterRole" -}}{{ default (include "dunlin.fullname" .) .Values.clusterRole.nameOverride }}{{- end -}}
{{- define "dunlin.account" -}}
{{- if .Values.serviceAccount.create -}}
{{ default (include "dunlin.fullname" .) .Values.serviceAccount.name }}
{{- else -}}
{{ default "default" .Values.serviceAccount.name }}
{{- end -}}
{{- end -}}
{{- define "dunlin.k8sApp" -}}{{ default (include "dunlin.name" .) .Values.k8sAppLabelOverride }}{{- end -}}

{{- /* What pods are found by. */ -}}
{{- define "dunlin.selector" -}}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- if .Values.isClusterService }}
k8s-app: {{ include "dunlin.k8sApp" . | quote }}
{{- end }}
app.kubernetes.io/name: {{ include "dunlin.name" . | quote }}
{{- end -}}

{{- define "dunlin.labels" -}}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name (.Chart.Version | replace "+" "_") | quote }}
{{ include "dunlin.selector" . }}
{{- if .Values.isClusterService }}
kubernetes.io/cluster-service: "true"
kubernetes.io/name: CoreDNS
{{- end }}
{{- with .Values.customLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* The same for the autoscaler, whose pods must not be found as DNS servers. */ -}}
{{- define "dunlin.autoscaler.labels" -}}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name (.Chart.Version | replace "+" "_") | quote }}
{{ include "dunlin.autoscaler.selector" . }}
{{- with .Values.customLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}
{{- define "dunlin.autoscaler.selector" -}}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/name: {{ printf "%s-autoscaler" (include "dunlin.name" .) | quote }}
{{- if .Values.isClusterService }}
k8s-app: {{ printf "%s-autoscaler" (include "dunlin.k8sApp" .) | quote }}
{{- end }}
{{- end -}}

{{- /* annotations root own: the lines of an object's metadata; its own before customAnnotations */ -}}
{{- define "dunlin.annotations" -}}
{{- $all := merge (dict) (default (dict) .own) .root.Values.customAnnotations -}}
{{- with $all }}
  annotations:
    {{- toYaml . | nindent 4 }}
{{- end }}
{{- end -}}
