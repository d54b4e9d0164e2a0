/** Catches errors of a screen, so that the page around it and a call continue. */
import { Component, type ReactNode } from 'react';
import { t } from '../strings';
import { Button, Empty } from './controls';
import { isMissingChunk } from './missingChunk';

interface Props {
  /** A new value clears the error: another screen is shown. */
  resetKey: string;
  onCopyDebug: (error: unknown) => void;
  children: ReactNode;
}

interface State {
  failure: { error: unknown } | undefined;
  resetKey: string;
}

export class ErrorBoundary extends Component<Props, State> {
  override state: State = { failure: undefined, resetKey: this.props.resetKey };

  static getDerivedStateFromError(error: unknown): Partial<State> {
    return { failure: { error } };
  }

  static getDerivedStateFromProps({ resetKey }: Props, state: State): Partial<State> | null {
    return resetKey === state.resetKey ? null : { failure: undefined, resetKey };
  }

  override render() {
    const { failure } = this.state;
    if (!failure) return this.props.children;
    const isMissing = isMissingChunk(failure.error);
    return (
      <div role="alert">
        <Empty
          title={isMissing ? t.crash.updatedTitle : t.crash.title}
          action={
            <>
              {!isMissing && (
                <Button look="primary" onClick={() => this.setState({ failure: undefined })}>
                  {t.ui.retry}
                </Button>
              )}
              <Button
                look={isMissing ? 'primary' : 'plain'}
                onClick={() => window.location.reload()}
              >
                {t.crash.reload}
              </Button>
              <Button look="quiet" onClick={() => this.props.onCopyDebug(failure.error)}>
                {t.crash.copyDebug}
              </Button>
            </>
          }
        >
          {isMissing ? t.crash.updatedText : t.crash.text}
        </Empty>
      </div>
    );
  }
}
