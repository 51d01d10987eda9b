"""Cues are words by which a request says what it asks for, in English, German, French, Spanish, Italian and Chinese.

Text is looked at in small letters without accents, so that the cues have none. A cue has a task and a weight. All of them
are looked for in one pass by RE2, in time that is linear in the text.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Final

from genset.sensitive.engine import ExpressionSet

#: Where an order begins: with the text, a sentence or a line, behind a few words of politeness.
_BEGIN: Final = (
    r"(?:^|[\n.!?:;)>\"]|。|？|：|\xc2\xbf)\s*(?:[-*]\s+)?(?:\W{0,3}(?:please|now|then|also|bitte|nun|"
    r"merci de|por favor|per favore|hi|hello|can you|could you|would you|i need you to|you|kannst du|"
    r"konnen sie|konntest du|peux-tu|pouvez-vous|pourriez-vous|puedes|podrias|puoi|potresti|me|mi|请|帮我|"
    r"能)[ ,]*){0,3}"
)
_CUES: Final = (
    ("Classify", 4, _BEGIN,
     r"(?:classif(?:y|i)|klassifizier|ordne |clas(?:s|ific)[ae] |categori[sz]e|kategorisier|label (?:each|"
     r"the|this|these)|etikettier|etiquet(?:te|a) |etichetta |rate the|evalue la|valora la|valuta l.urg|"
     r"bestimme die (?:sprache|ton)|determina el tono|determina il tono|评估|判断|给每)"),
    ("Classify", 4, "",
     r"(?:classifier\b|klassifikator|classificateur|clasificador|classificatore|分类)"),
    ("Classify", 4, "",
     r"(?:positive or negative|positiv oder negativ|positif ou negatif|positiva o negativa|"
     r"positivo o negativo|正面的?还是|yes or no|mit ja oder nein|par oui ou non|si o no\b|是或否|spam\b)"),
    ("Classify", 4, "",
     r"(?:(?:which|what|welche[rs]?|quelle|que|quale|a quale|a que)\b.{0,30}(?:categor|kategori|intention|"
     r"intent\b)|属于哪|handelt es sich um eine|wie dringend|how urgent|标签)"),
    ("Extract", 4, _BEGIN,
     r"(?:extract|extrahier|extrai|estrai|pull out|tira fuori|saca los|saca las|list the (?:email|name|"
     r"phone)|list(?:e|a|ate)? (?:alle|les|los|las)|releve|such(?:e|en sie)? aus|elenca |"
     r"return the .{0,40}json|gib die .{0,40}json|donne les .{0,40}json|devuelve .{0,40}json|"
     r"restituisci .{0,40}json|提取|抽取|列出|从下面)"),
    ("Extract", 4, "",
     r"(?:information extraction|informationsextraktion|extraction d.information|extraccion de informacion|"
     r"estrazione di informazioni|信息抽取|json格式|以json)"),
    ("Extract", 3, "",
     r"(?:(?:from|in|aus|dans|en|nel|im) (?:the |dem |der |le |la |el )?(?:contract|text|message|vertrag|"
     r"contrat|contrato|contratto|letter)\b.{0,24}(?:find|suche|trouve|busca|trova)|(?:stehen|kommen|"
     r"vorkommen).{0,20}(?:nachricht|protokoll|text))"),
    ("Summarise", 4, _BEGIN,
     r"(?:summari[sz]e|sum up|fass(?:e|en sie)? .{0,80}zusammen|zusammenfassen|resume[rz]? |resumelo|"
     r"resumir|riassum|sintetizza|condense|shorten|kurze |raccourcis|acorta|accorcia|recap|boil (?:this|it|"
     r"that) down|fais la synthese|总结|概括|归纳|概述|简要|缩短|把这条)"),
    ("Summarise", 4, "",
     r"(?:tl;?dr\b|summary of|short summary|zusammenfassung|un resume\b|un resumen|riassunto|key points|"
     r"wichtigsten punkte|points cles|puntos clave|punti chiave|in stichpunkten|auf den punkt|synthese|"
     r"sintesis|sintesi\b|abstract\b|摘要|要点|总结|概括|you condense|du verdichtest|tu synthetises|"
     r"sintetizas|sintetizzi|in one sentence|in three bullet|en pocas palabras,|in breve,|en bref,)"),
    ("Translate", 5, _BEGIN,
     r"(?:translat|ubersetz|ubertrage|tradui|traduc|render .{0,40} in |翻译|翻成|译成|volgi .{0,40} in )"),
    ("Translate", 5, "",
     r"(?:translator\b|ubersetzer|traducteur|traductor|traduttore|translation\b|ubersetzung|traduction|"
     r"traduccion|traduzione|翻译|译成|中译|翻成|how do you say|wie sagt man|comment dit-on|como se dice|"
     r"come si dice|怎么说|what does .{1,60} mean in|was hei(?:ss|ß)t .{1,60} auf|que veut dire|"
     r"que significa .{1,60} en |cosa significa .{1,60} in |是什么意思|(?:\ben|\bin|\bauf|\bal|\binto|\bto|"
     r"\bins) (?:the )?(?:english|french|spanish|german|italian|deutsch|francais|espanol|italiano|"
     r"englische|spanische|franzosische|inglese|ingles|chinese|japanese|japonais|japones|japanisch|"
     r"giapponese)\b)"),
    ("Code", 4, _BEGIN,
     r"(?:refactor|debug |implement |baue das auf|rewrite this|write (?:a|an|me a|some) .{0,30}(?:function|"
     r"script|class|program|query)|schreib.{0,40}(?:funktion|skript|klasse)|ecris une fonction|"
     r"escribe una funcion|scrivi una funzione|reecris|reescribe|riscrivi)"),
    ("Code", 4, "",
     r"(?:\bpython\b|javascript|typescript|\bsql\b|\bregex\b|unit.?tests?\b|tests? unitaire|"
     r"pruebas unitarias|test unitari|单元测试|\bgit\b|docker|\bbash\b|stack trace|traceback|typeerror|"
     r"segmentation fault|segfault|exception\b|compil(?:er|ation error)|regular expression|"
     r"regularer ausdruck|expression reguliere|expresion regular|espressione regolare|正则|async/await|"
     r"(?:go|java|rust|kotlin|c\+\+|php|ruby|swift|typescript)[ -]?(?:dev|entwickl|program|程序)|"
     r"(?:developpeur|programador de|desarrollador|sviluppatore) [a-z+#]+|c\+\+|函数|代码为)"),
    ("Reason", 4, _BEGIN,
     r"(?:prove |proof|beweise|demontre|demuestra|dimostra|calculat|calcul[ae] |berechne|calcola|solve |"
     r"lose nach|resous|resuelve|risolvi|work out|determine which|weigh |wage die|pese le pour|sopesa|"
     r"valuta i pro|证明|计算|解方程|权衡)"),
    ("Reason", 4, "",
     r"(?:step by step|schritt fur schritt|etape par etape|paso a paso|passo dopo passo|一步一步|"
     r"pros and cons|vor- und nachteile|le pour et le contre|pros y los contras|pro e i contro|利弊|"
     r"probability|wahrscheinlichkeit|probabilite|probabilidad|probabilita|概率|your reasoning|raisonn|"
     r"razona|ragiona|推理|begrunde |justifie|justifica|giustifica|logician|logiker|logicien|logico\b|逻辑|"
     r"uberlege genau|irrational)"),
    ("Agent", 6, "",
     r"(?:thought\W.{0,40}action\W.{0,40}observation)"),
)  # fmt: skip
#: Task, weight, expression.
CUES: Final = [(task, weight, begin + words) for task, weight, begin, words in _CUES]


@lru_cache(maxsize=1)
def _set() -> ExpressionSet:
    return ExpressionSet([expression for _, _, expression in CUES])


def prepared() -> None:
    """Makes what the cues are looked for with, which takes a moment at the first time."""
    _set()


def weights_in(text: str) -> dict[str, int]:
    """Returns how much of a text says that this task is asked for, by task; what it does not speak of is not in it."""
    small = unicodedata.normalize("NFKD", text.lower())
    plain = "".join([c for c in small if not unicodedata.combining(c)]) if not small.isascii() else small
    found: dict[str, int] = {}
    for number in _set().matching(plain.encode("utf-8", "replace")):
        task, weight, _ = CUES[number]
        found[task] = found.get(task, 0) + weight
    return found
